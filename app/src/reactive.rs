//! Derived values in few shapes. Leptos compiles its machinery once for every closure it is handed; a closure
//! that is boxed first costs a box, and the page (which travels to every browser) is a good deal smaller for it.

use std::sync::Arc;

use leptos::prelude::*;

/// A value that follows what it reads, computed anew each time it is read: for texts and attributes.
pub fn derived<T: Send + Sync + 'static>(read: impl Fn() -> T + Send + Sync + 'static) -> Signal<T> {
    fn boxed<T: Send + Sync + 'static>(read: Box<dyn Fn() -> T + Send + Sync>) -> Signal<T> {
        Signal::derive(read)
    }
    boxed(Box::new(read))
}

/// A value that follows what it reads, computed once for all who read it, and that tells them only when it is
/// another than before.
pub fn memo<T: PartialEq + Send + Sync + 'static>(read: impl Fn() -> T + Send + Sync + 'static) -> Memo<T> {
    fn boxed<T: PartialEq + Send + Sync + 'static>(read: Box<dyn Fn() -> T + Send + Sync>) -> Memo<T> {
        Memo::new(move |_| read())
    }
    boxed(Box::new(read))
}

/// A view for each name of a list, made once and kept for as long as the name is in it.
pub fn each_name(
    names: Memo<Vec<String>>,
    view: impl Fn(String) -> AnyView + Send + Sync + 'static,
) -> AnyView {
    fn boxed(names: Memo<Vec<String>>, view: Arc<dyn Fn(String) -> AnyView + Send + Sync>) -> AnyView {
        view! { <For each=move || names.get() key=String::clone children=move |name| view(name) /> }
            .into_any()
    }
    boxed(names, Arc::new(view))
}
