//! A user changes the own password, with the one known now as proof.

use super::{Authenticator, Loaded};
use crate::auth::{
    AuthError, Credentials, Password, PasswordHash, PasswordRule, RemoteAddress, UserName, htpasswd,
};

/// Why a password was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The one known now is wrong, or cannot be checked now.
    #[error(transparent)]
    Proof(#[from] AuthError),
    /// The new one cannot be a password.
    #[error(transparent)]
    Rule(#[from] PasswordRule),
    /// The file cannot be written: an administrator manages it in another way.
    #[error("the user file cannot be changed")]
    File,
}

impl Authenticator {
    /// Gives a user another password. It counts at once here, and within [`poll_interval`](crate::auth::Config) on
    /// other servers that read the same file; sessions that began with the old one end.
    pub async fn change_password(
        &self,
        user: &UserName,
        old: &Password,
        new: &Password,
        remote: RemoteAddress,
    ) -> Result<(), ChangeError> {
        let Some(gate) = self.gate.clone() else { return Err(ChangeError::File) };
        new.check_new()?;
        self.authenticate(Some(&Credentials::new(user.clone(), old.clone())), remote).await?;
        let turn = gate.queue.turn(remote).await?;
        let (user, new) = (user.clone(), new.clone());
        let change = move || {
            let cost =
                gate.loaded.load().users().and_then(|users| users.get(user.as_str()).map(PasswordHash::cost));
            let hash = PasswordHash::create(
                &new,
                cost.unwrap_or(gate.config.bcrypt_cost).max(gate.config.bcrypt_cost),
            );
            drop(turn);
            let hash = hash.map_err(|_| ChangeError::File)?;
            if let Err(error) = htpasswd::set_password(&gate.file, &user, &hash) {
                tracing::error!(%error, "a password could not be changed on a page");
                return Err(ChangeError::File);
            }
            gate.loaded.store(std::sync::Arc::new(Loaded::first(&gate.file, gate.config.bcrypt_cost)));
            Ok(())
        };
        tokio::task::spawn_blocking(change).await.unwrap_or(Err(ChangeError::File))
    }
}
