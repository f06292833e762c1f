//! API versions: parsing, order, and the range that an engine accepts.

use std::fmt;

/// An API version such as `1.41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Before the dot; always 1 so far.
    pub major: u16,
    /// After the dot.
    pub minor: u16,
}

/// The newest version whose requests and answers we know.
pub const NEWEST: ApiVersion = ApiVersion::new(1, 51);
/// The oldest version that we speak; engines before Docker 1.12 are not supported.
pub const OLDEST: ApiVersion = ApiVersion::new(1, 24);

impl ApiVersion {
    /// `ApiVersion::new(1, 41)` is 1.41.
    pub const fn new(major: u16, minor: u16) -> ApiVersion {
        ApiVersion { major, minor }
    }

    /// Reads `1.41`; `None` for anything else.
    pub fn parse(text: &str) -> Option<ApiVersion> {
        let (major, minor) = text.split_once('.')?;
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        match digits(major) && digits(minor) {
            true => Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? }),
            false => None,
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The versions that an engine, or the cluster as a whole, accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiRange {
    /// Oldest accepted.
    pub min: ApiVersion,
    /// Newest accepted.
    pub max: ApiVersion,
}

impl ApiRange {
    /// What we speak by ourselves, before any engine is known.
    pub const OURS: ApiRange = ApiRange { min: OLDEST, max: NEWEST };

    /// What both accept. May be empty (`min > max`).
    #[must_use]
    pub fn and(self, other: ApiRange) -> ApiRange {
        ApiRange { min: self.min.max(other.min), max: self.max.min(other.max) }
    }

    /// Whether nothing is in the range.
    pub fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// The version nearest to `wanted` that is in the range.
    pub fn nearest(self, wanted: ApiVersion) -> ApiVersion {
        wanted.max(self.min).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_versions_compare_as_numbers() {
        let v = |t| ApiVersion::parse(t).unwrap();
        assert!(v("1.9") < v("1.10"));
        assert_eq!(v("1.41").to_string(), "1.41");
        for bad in ["", "1", "1.", ".1", "1.x", "v1.2", "1.2.3", "1.-2"] {
            assert_eq!(ApiVersion::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_meet() {
        let old = ApiRange { min: ApiVersion::new(1, 12), max: ApiVersion::new(1, 41) };
        let both = ApiRange::OURS.and(old);
        assert_eq!((both.min, both.max), (ApiVersion::new(1, 24), ApiVersion::new(1, 41)));
        assert_eq!(both.nearest(NEWEST), ApiVersion::new(1, 41));
        let new = ApiRange { min: ApiVersion::new(1, 44), max: ApiVersion::new(1, 52) };
        assert!(old.and(new).is_empty());
    }
}
