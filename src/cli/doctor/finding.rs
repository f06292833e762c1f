//! What a doctor says: one finding a line, its cure below it, or all of them as JSON.

use serde::Serialize;

/// How one finding turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it turned out.
    pub verdict: Verdict,
    /// What was looked at, one stable word: `config`, `docker`, `ports`.
    pub about: &'static str,
    /// What was seen.
    pub text: String,
    /// What to do, unless it is well.
    pub cure: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn pass(about: &'static str, text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Pass, about, text: text.into(), cure: None }
    }

    /// It works, but.
    pub fn warn(about: &'static str, text: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warn, ..Finding::fail(about, text, cure) }
    }

    /// It does not work.
    pub fn fail(about: &'static str, text: impl Into<String>, cure: impl Into<String>) -> Finding {
        let cure = Some(cure.into()).filter(|cure| !cure.is_empty());
        Finding { verdict: Verdict::Fail, about, text: text.into(), cure }
    }
}

/// The exit code: 78 if the configuration or a file that it names is wrong, else 69 if something else failed, else 0.
pub fn code(findings: &[Finding]) -> u8 {
    let failed = |about: &[&str], within| {
        findings.iter().any(|f| f.verdict == Verdict::Fail && about.contains(&f.about) == within)
    };
    const CONFIGURED: [&str; 2] = ["config", "tls"];
    match (failed(&CONFIGURED, true), failed(&CONFIGURED, false)) {
        (true, _) => 78,
        (_, true) => 69,
        _ => 0,
    }
}

/// For people.
pub fn lines(findings: &[Finding]) -> String {
    let word = |verdict| match verdict {
        Verdict::Pass => "PASS",
        Verdict::Warn => "WARN",
        Verdict::Fail => "FAIL",
    };
    let line = |f: &Finding| {
        let cure = f.cure.iter().map(|cure| format!("      {}\n", cure.replace('\n', "\n      ")));
        format!("{}  {}: {}\n{}", word(f.verdict), f.about, f.text, cure.collect::<String>())
    };
    findings.iter().map(line).collect()
}

/// For programs: `{"ok": …, "findings": […]}`.
pub fn json(findings: &[Finding]) -> String {
    let whole = serde_json::json!({ "ok": code(findings) == 0, "findings": findings });
    format!("{whole:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each_a_cure_below_and_a_code_for_scripts() {
        let mut findings = vec![
            Finding::pass("config", "right"),
            Finding::warn("clock", "not synchronised", "timedatectl set-ntp true"),
        ];
        assert_eq!(
            lines(&findings),
            "PASS  config: right\nWARN  clock: not synchronised\n      timedatectl set-ntp true\n"
        );
        assert_eq!(code(&findings), 0);
        findings.push(Finding::fail("docker", "gone", ""));
        assert_eq!(code(&findings), 69);
        findings.push(Finding::fail("tls", "expired", "reissue"));
        assert_eq!(code(&findings), 78);
        let told: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(told["ok"], false);
        assert_eq!(told["findings"][2]["verdict"], "fail");
        assert_eq!(told["findings"][2]["cure"], serde_json::Value::Null);
    }
}
