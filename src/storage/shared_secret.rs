//! A secret that all servers of a volume share, made by the first that needs it.

use super::{Storage, StorageError, atomic_file, error::IoContext, lookup};

impl Storage {
    /// 32 random bytes kept on the volume under `name`, the same for every server; readable by the owner only.
    ///
    /// # Errors
    /// When it is neither there nor can be made, or what is there is damaged.
    pub fn shared_secret(&self, name: &str) -> Result<[u8; 32], StorageError> {
        let path = self.layout.private().join(name);
        for _ in 0..2 {
            if let Some(lookup::SmallFile { bytes, .. }) = lookup::read_small(self.layout.v2(), &path)? {
                return bytes
                    .try_into()
                    .map_err(|_| std::io::Error::other("the secret is damaged; remove it to make a new one"))
                    .context("read", &path);
            }
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(std::io::Error::other).context("make", &path)?;
            // Of two servers that start at once, one makes it and the other reads it.
            atomic_file::put_secret_once(&self.layout.private(), name, &secret)?;
        }
        Err(StorageError::NotFound)
    }
}
