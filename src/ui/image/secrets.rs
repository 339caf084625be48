//! Values in an image that look like secrets: everybody who can pull it has them.

/// Whether a name or a value looks like a secret. Misses some and is wrong about others: a hint, no proof.
pub(in crate::ui) fn looks_secret(name: &str, value: &str) -> bool {
    !value.is_empty() && (is_secret_name(name) || is_secret_value(value))
}

fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "APIKEY",
        "API_KEY",
        "ACCESS_KEY",
        "PRIVATE_KEY",
        "CREDENTIAL",
        "AUTH_KEY",
        "PWD_",
    ];
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    // Where to find it is not the secret.
    !name.ends_with("_FILE") && !name.ends_with("_PATH") && WORDS.iter().any(|word| name.contains(word))
}

fn is_secret_value(value: &str) -> bool {
    const PREFIXES: [&str; 10] = [
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "sk_live_",
        "npm_",
        "-----BEGIN",
        "eyJhbGciOi",
    ];
    let is_aws = value.len() == 20 && value.starts_with("AKIA");
    PREFIXES.iter().any(|prefix| value.starts_with(prefix)) || is_aws || has_password_in_address(value)
}

/// `scheme://user:password@host`
fn has_password_in_address(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = host.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_flagged() {
        for (name, value) in [
            ("DB_PASSWORD", "x"),
            ("api-key", "x"),
            ("X", "ghp_abc"),
            ("URL", "postgres://app:hunter2@db/app"),
            ("ID", "AKIAIOSFODNN7EXAMPLE"),
            ("KEY", "-----BEGIN RSA PRIVATE KEY-----"),
        ] {
            assert!(looks_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("PATH", "/usr/bin"),
            ("DB_PASSWORD", ""),
            ("DB_PASSWORD_FILE", "/run/secrets/db"),
            ("URL", "https://example.org/a:b@c"),
            ("GPG_KEY", "E3FF2839C048B25C084DEBE9B26995E310250568"),
        ] {
            assert!(!looks_secret(name, value), "{name}");
        }
    }
}
