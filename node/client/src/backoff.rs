//! Waits that grow and never fall into step with those of other clients.

use std::{sync::Arc, time::Duration};

use crate::{ClientOptions, Outside};

/// Doubles from `backoff_min` to `backoff_max`; each wait is between half and all of its step.
#[derive(Debug)]
pub(crate) struct Backoff {
    outside: Arc<dyn Outside>,
    step: Duration,
    min: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(options: &ClientOptions, outside: &Arc<dyn Outside>) -> Self {
        Self {
            outside: Arc::clone(outside),
            step: options.backoff_min,
            min: options.backoff_min,
            max: options.backoff_max,
        }
    }

    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(self.max);
        let half_ns = u64::try_from((step / 2).as_nanos()).unwrap_or(u64::MAX);
        step / 2 + Duration::from_nanos(self.outside.random_u64() % half_ns.max(1))
    }

    /// Something worked: the next wait is short again.
    pub(crate) fn reset(&mut self) {
        self.step = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::Machine;

    #[test]
    fn waits_double_up_to_their_bound_and_start_again_after_a_success() {
        let options = ClientOptions {
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(35),
            ..ClientOptions::default()
        };
        let mut backoff = Backoff::new(&options, &(Arc::new(Machine) as Arc<dyn Outside>));
        for step_ms in [10, 20, 35, 35] {
            let wait = backoff.next();
            let step = Duration::from_millis(step_ms);
            assert!(wait >= step / 2 && wait <= step, "{wait:?} for {step:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(10));
    }
}
