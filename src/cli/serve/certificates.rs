//! The certificate that is served, and the one of its CA that the pages offer.

use std::{path::PathBuf, sync::Arc};

use crate::{
    config::{Certificates, Config},
    tls,
};

pub(super) struct ServedCertificates {
    pub(super) tls: Option<Arc<tls::ReloadingCertificate>>,
    pub(super) ca_certificate: Option<PathBuf>,
}

/// Reads the certificate, or makes one on the first start. Blocks.
pub(super) fn certificates(config: &Config) -> anyhow::Result<ServedCertificates> {
    let (certificate, private_key, made_ca) = match &config.certificates {
        Certificates::Off => {
            return Ok(ServedCertificates { tls: None, ca_certificate: config.ca_certificate.clone() });
        }
        Certificates::Files { certificate, private_key } => (certificate.clone(), private_key.clone(), None),
        Certificates::Made { directory } => {
            let mut names = tls::default_names();
            let external = config.external_name().filter(|name| !names.iter().any(|known| known == name));
            names.extend(external.map(str::to_owned));
            let files = tls::first_start(directory, &names)?.files;
            (files.certificate, files.private_key, Some(files.ca_certificate))
        }
    };
    let tls = tls::load(&tls::Config {
        certificate,
        private_key,
        poll_interval: config.certificate_poll_interval,
    })?;
    Ok(ServedCertificates {
        tls: Some(Arc::new(tls)),
        ca_certificate: config.ca_certificate.clone().or(made_ca),
    })
}
