//! [`Secret`]: text that no formatting, error, log or serialiser shows.
//!
//! Invariant: the only way to the text is [`Secret::expose`], so a search for that word finds every place where a
//! secret leaves. Not for: hiding values from a debugger or a core dump; the text lies in memory as it is.

use std::fmt;

use serde::{Serialize, Serializer};

/// What stands where a secret would stand.
pub const MASK: &str = "***";

/// A password or another text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that hands it to a driver.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Whether a parameter of this name holds a secret: `password`, `sslpassword`, `tlsCertificateKeyFilePassword` and
/// their like.
pub(super) fn is_sensitive(name: &str) -> bool {
    const PARTS: [&str; 7] = ["password", "passwd", "passphrase", "pwd", "secret", "token", "credential"];
    // The properties carry AWS_SESSION_TOKEN.
    // Urls of replicas have passwords of their own.
    const WHOLE: [&str; 4] = ["pass", "authmechanismproperties", "replicas", "readreplicas"];
    let name = super::nearest::normalise(name);
    PARTS.iter().any(|part| name.contains(part)) || WHOLE.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_by_expose_only() {
        let secret = Secret::new("canary");
        let shown = format!("{secret} {secret:?} {secret:#?} {:?}", Some(&secret));
        let json = serde_json::to_string(&secret).unwrap();
        assert!(!shown.contains("canary"));
        assert_eq!(json, "\"***\"");
        assert_eq!(secret.expose(), "canary");
    }

    #[test]
    fn parameters_that_hold_secrets_are_known_by_name() {
        for name in
            ["password", "sslpassword", "tlsCertificateKeyFilePassword", "PWD", "auth_token", "authMechanismProperties"]
        {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["user", "sslmode", "sslkey", "passfile", "max_pool_size"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
