//! The token of a new cluster, minted on this machine.
//!
//! Asking a manager for one is a call of the registry client; the runner makes it.

use crate::error::{Error, Kind, Result};

/// 32 lowercase hex digits: 128 bits of the operating system's generator, as the old token service gave.
///
/// # Errors
/// `Kind::Internal` when the generator fails.
pub fn mint() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::us(Kind::Internal, format!("the system's random generator failed: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_look_like_tokens_and_differ() {
        let (one, two) = (super::mint().unwrap(), super::mint().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 32);
        assert!(one.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    }
}
