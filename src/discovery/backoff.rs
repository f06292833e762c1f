//! How long to wait before the next attempt. Pure: chance comes in as an argument.

use std::time::Duration;

/// The pause after the first failure, before jitter.
const FIRST: Duration = Duration::from_secs(1);

/// The pause after `failures` failures in a row (1 or more): 1 s, 2 s, 4 s... up to `cap`, of which
/// `chance` (0 to 1) takes away up to half, so that many agents do not come back in step.
pub fn retry(failures: u32, cap: Duration, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(cap).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

/// The pause until the next regular turn: `period`, or up to a tenth less. Never more, so that a
/// registration that is renewed each period is always renewed in time.
pub fn regular(period: Duration, chance: f64) -> Duration {
    period.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let cap = Duration::from_secs(15);
        let seconds = |failures| retry(failures, cap, 0.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6].map(seconds), [1, 2, 4, 8, 15, 15]);
        assert_eq!(retry(u32::MAX, cap, 0.0), cap);
        assert_eq!(retry(1, Duration::from_millis(300), 0.0).as_millis(), 300);
    }

    #[test]
    fn jitter_only_shortens() {
        let cap = Duration::from_secs(60);
        for chance in [0.0, 0.3, 1.0] {
            let pause = retry(10, cap, chance);
            assert!(pause <= cap && pause >= cap / 2, "{chance}");
            let pause = regular(cap, chance);
            assert!(pause <= cap && pause >= cap.mul_f64(0.899), "{chance}");
        }
    }
}
