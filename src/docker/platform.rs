//! Platforms: operating system, architecture and variant, in the words that images use, and which machine
//! runs which.
//!
//! Machines tell their architecture in the kernel's words (`x86_64`, `aarch64`, `armv7l`), images in Go's
//! (`amd64`, `arm64`, `arm/v7`). Everything here is in the latter.

use std::fmt;

/// A platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Platform {
    /// `linux`, `windows`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v6`, `v7`, …; empty where it makes no difference, and where an image does not tell.
    pub variant: String,
}

impl Platform {
    /// From the three words of an image or an engine, however they are spelled.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Platform {
        let (architecture, implied) = architecture_of(architecture);
        let variant = variant.trim().to_ascii_lowercase();
        let variant = match (architecture.as_str(), if variant.is_empty() { implied } else { &variant }) {
            // The only one there was when the word was coined.
            ("arm64", "8" | "v8") | ("amd64", "v1") => String::new(),
            ("arm", number @ ("5" | "6" | "7" | "8")) => format!("v{number}"),
            (_, variant) => variant.to_string(),
        };
        let os = match os.trim().to_ascii_lowercase() {
            os if os.is_empty() => "linux".to_string(),
            os => os,
        };
        Platform { os, architecture, variant }
    }

    /// Reads `linux/arm64`, `linux/arm/v7` or `arm64`, as in `--platform`. `None`: no platform at all, or one
    /// that is for engines to judge.
    pub fn parse(text: &str) -> Option<Platform> {
        let parts: Vec<&str> = text.split('/').collect();
        let platform = match parts.as_slice() {
            [one] if matches!(*one, "linux" | "windows" | "") => return None,
            [architecture] => Platform::new("", architecture, ""),
            [os, architecture] => Platform::new(os, architecture, ""),
            [os, architecture, variant] => Platform::new(os, architecture, variant),
            _ => return None,
        };
        let known = !platform.architecture.is_empty() && !platform.os.is_empty();
        // Who writes `arm` means the one that all but the oldest boards have.
        let plain_arm = platform.architecture == "arm" && platform.variant.is_empty();
        known.then(|| if plain_arm { Platform { variant: "v7".into(), ..platform } } else { platform })
    }

    /// The platform of an engine: what its kernel says (`machine`), and what it was built for itself (`built`,
    /// empty if it does not tell). A 32-bit engine on a 64-bit kernel runs 32-bit images.
    pub fn of_engine(os: &str, machine: &str, built: &str) -> Platform {
        let kernel = Platform::new(os, machine, "");
        match (kernel.architecture.as_str(), built) {
            ("arm64", "arm") => Platform::new(os, "arm", "v8"),
            ("amd64", "386") => Platform::new(os, "386", ""),
            _ => kernel,
        }
    }

    /// Whether a machine of this platform runs an image built for `image` without emulation.
    pub fn runs(&self, image: &Platform) -> bool {
        let here = self.architecture.as_str();
        self.os == image.os
            && match image.architecture.as_str() {
                "arm" if here == "arm64" => level(&image.variant) <= 8,
                "arm" if here == "arm" => {
                    self.variant.is_empty() || level(&image.variant) <= level(&self.variant)
                }
                "386" if here == "amd64" => true,
                // A machine does not tell its level (`amd64/v3`): the benefit of the doubt.
                other => other == here,
            }
    }

    /// Whether both are the same, as far as both tell.
    pub fn is(&self, other: &Platform) -> bool {
        let alike = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        self.os == other.os && self.architecture == other.architecture && alike(&self.variant, &other.variant)
    }
}

/// The word of images for an architecture, and the variant that the kernel's word implies.
fn architecture_of(word: &str) -> (String, &'static str) {
    let word = word.trim().to_ascii_lowercase();
    let (architecture, variant) = match word.as_str() {
        "x86_64" | "x86-64" | "amd64" => ("amd64", ""),
        "aarch64" | "arm64" => ("arm64", ""),
        "armv8l" => ("arm", "v8"),
        "armv7l" | "armhf" => ("arm", "v7"),
        "armv6l" | "armel" => ("arm", "v6"),
        "armv5tel" | "armv5tejl" => ("arm", "v5"),
        "i386" | "i486" | "i586" | "i686" | "386" => ("386", ""),
        "ppc64el" => ("ppc64le", ""),
        "loongarch64" => ("loong64", ""),
        other => (other, ""),
    };
    (architecture.to_string(), variant)
}

/// `v7` is 7. An image that does not tell its variant is let in everywhere: old ones are often labelled badly.
fn level(variant: &str) -> u32 {
    variant.trim_start_matches('v').parse().unwrap_or(0)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_str() {
            "" => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(machine: &str) -> Platform {
        Platform::of_engine("linux", machine, "")
    }

    fn image(text: &str) -> Platform {
        Platform::parse(text).unwrap()
    }

    #[test]
    fn machines_in_the_words_of_images() {
        for (machine, platform) in [
            ("x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("armv7l", "linux/arm/v7"),
            ("armv6l", "linux/arm/v6"),
            ("i686", "linux/386"),
            ("i386", "linux/386"),
            ("riscv64", "linux/riscv64"),
            ("s390x", "linux/s390x"),
        ] {
            assert_eq!(engine(machine).to_string(), platform);
        }
        assert_eq!(Platform::of_engine("linux", "aarch64", "arm").to_string(), "linux/arm/v8");
        assert_eq!(Platform::of_engine("linux", "aarch64", "arm64").to_string(), "linux/arm64");
        assert_eq!(Platform::of_engine("windows", "x86_64", "amd64").to_string(), "windows/amd64");
    }

    #[test]
    fn what_users_write() {
        for (text, platform) in [
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/aarch64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(image(text).to_string(), platform, "{text}");
        }
        for text in ["", "linux", "windows", "a/b/c/d", "linux/"] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }

    #[test]
    fn which_machine_runs_which_image() {
        for (machine, runs, refuses) in [
            ("x86_64", &["amd64", "386", "amd64/v3"][..], &["arm64", "arm/v7"][..]),
            ("i686", &["386"], &["amd64"]),
            ("aarch64", &["arm64", "arm/v8", "arm/v7", "arm/v6", "arm/v5"], &["amd64", "386"]),
            ("armv7l", &["arm/v7", "arm/v6", "arm/v5"], &["arm64", "arm/v8", "amd64"]),
            ("armv6l", &["arm/v6", "arm/v5"], &["arm/v7", "arm64"]),
            ("riscv64", &["riscv64"], &["amd64"]),
        ] {
            for arch in runs {
                assert!(engine(machine).runs(&image(&format!("linux/{arch}"))), "{machine} runs {arch}");
            }
            for arch in refuses {
                assert!(!engine(machine).runs(&image(&format!("linux/{arch}"))), "{machine} refuses {arch}");
            }
        }
        assert!(!engine("x86_64").runs(&image("windows/amd64")));
        // Old images for ARM often do not tell their variant.
        assert!(engine("armv6l").runs(&Platform::new("linux", "arm", "")));
    }

    #[test]
    fn sameness_is_as_exact_as_what_is_told() {
        assert!(image("linux/arm64").is(&image("linux/arm64/v8")));
        assert!(Platform::new("", "arm", "").is(&image("linux/arm/v6")));
        assert!(!image("linux/arm/v7").is(&image("linux/arm/v6")));
        assert!(!image("linux/arm64").is(&image("linux/arm/v7")));
    }
}
