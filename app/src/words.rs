//! How numbers, ages and times are written, the same everywhere on the page. Pure functions.

/// `4818286` as `4,818,286`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A long position in two parts: the head that hardly changes, and the moving tail of three digits.
pub fn head_and_tail(number: u64) -> (String, String) {
    let text = grouped(number);
    let split = text.len().saturating_sub(3);
    (text[..split].to_owned(), text[split..].to_owned())
}
