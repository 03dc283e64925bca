// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! TLS to glusterd, as Gluster's own clients have it ("management encryption").
//!
//! Whether, and with which files, is decided by the places that libgfapi looks at (10.3,
//! `glfs_volumes_init`, `ssl_setup_connection` in `socket.c`). Certificates are checked against
//! Gluster's own list of authorities, host names are not: clusters use certificates that vouch for
//! themselves and have no names of hosts. OpenSSL is in the process anyway, with libgfapi's
//! transport.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::{
    HandshakeError, Ssl, SslContext, SslFiletype, SslMethod, SslStream, SslVerifyMode,
};
use openssl::version;

/// TLS over TCP.
pub(super) type TlsStream = SslStream<TcpStream>;

/// Its presence turns management encryption on; a line in it may say how long a chain of
/// certificates may be.
const SECURE_ACCESS: &str = "/var/lib/glusterd/secure-access";
const DEPTH_OPTION: &str = "transport.socket.ssl-cert-depth";
const DEPTH: u32 = 1;

/// Whether this host talks to glusterd with TLS.
pub(super) fn is_required() -> bool {
    Path::new(SECURE_ACCESS).exists()
}

/// Shakes hands over a connection that has timeouts.
///
/// # Errors
/// Its own files are missing or unfit, or the peer is not trusted, does not trust us or speaks no
/// TLS.
pub(super) fn connect(stream: TcpStream) -> io::Result<TlsStream> {
    let context = context().map_err(|why| io::Error::other(format!("TLS: {why}")))?;
    let session = Ssl::new(&context).map_err(io::Error::other)?;
    session.connect(stream).map_err(|why| match why {
        HandshakeError::WouldBlock(_) => {
            io::Error::new(io::ErrorKind::TimedOut, "does not answer in TLS")
        }
        HandshakeError::Failure(session) => io::Error::other(format!("TLS: {}", session.error())),
        HandshakeError::SetupFailure(why) => io::Error::other(format!("TLS: {why}")),
    })
}

fn context() -> Result<SslContext, ErrorStack> {
    let folder = folder();
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_ca_file(folder.join("glusterfs.ca"))?;
    context.set_certificate_chain_file(folder.join("glusterfs.pem"))?;
    context.set_private_key_file(folder.join("glusterfs.key"), SslFiletype::PEM)?;
    context.set_verify(SslVerifyMode::PEER);
    let text = fs::read_to_string(SECURE_ACCESS).unwrap_or_default();
    context.set_verify_depth(text.lines().find_map(depth_in).unwrap_or(DEPTH));
    Ok(context.build())
}

/// Where OpenSSL has its files: Gluster's are there, too (`SSL_CERT_PATH`). It says `OPENSSLDIR:
/// "/usr/lib/ssl"`.
fn folder() -> PathBuf {
    PathBuf::from(version::dir().split('"').nth(1).unwrap_or("/etc/ssl"))
}

/// Of `option transport.socket.ssl-cert-depth 2`.
fn depth_in(line: &str) -> Option<u32> {
    let mut words = line.split_whitespace();
    (words.next() == Some("option") && words.next() == Some(DEPTH_OPTION))
        .then(|| words.next()?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_chain_is_an_option_in_the_file() {
        assert_eq!(depth_in("option transport.socket.ssl-cert-depth 3"), Some(3));
        for other in [
            "",
            "# option transport.socket.ssl-cert-depth 3",
            "option transport.socket.ssl-cert-depth x",
        ] {
            assert_eq!(depth_in(other), None, "{other}");
        }
    }
}
