// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Clusters of other kinds: each has a process with namespaces, and a glusterd, of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

use support::cluster::{self, Environment, HOST, Volume, run};
use support::pattern;
use support::runner::{Lun, OK};

/// The argument that makes this executable run in another environment.
pub(crate) const ENVIRONMENT: &str = "--environment";

const BYTES: u64 = 1 << 20;

pub(crate) fn ipv6() {
    run_apart("ipv6");
}

pub(crate) fn tls() {
    run_apart("tls");
}

pub(crate) fn management_tls() {
    run_apart("tls-everywhere");
}

fn run_apart(name: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([ENVIRONMENT, name])
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&text));
}

/// Runs the tests of the environment `name`, and exits.
pub(crate) fn run_in(name: &str) -> ! {
    let plain = Environment { host: HOST, glusterd: "", mount: "rw", prepare: || {} };
    let (environment, body): (Environment, fn()) = match name {
        "ipv6" => (
            Environment {
                host: "six",
                glusterd: "option transport.address-family inet6",
                mount: "xlator-option=transport.address-family=inet6",
                prepare: six,
            },
            by_name_and_by_address,
        ),
        "tls" => (Environment { prepare: certificate, ..plain }, with_tls),
        "tls-everywhere" => (
            Environment {
                prepare: || {
                    certificate();
                    fs::write("/var/lib/glusterd/secure-access", "").unwrap();
                },
                ..plain
            },
            with_tls,
        ),
        other => panic!("no environment {other}"),
    };
    cluster::ENVIRONMENT.set(environment).unwrap();
    cluster::enter_namespaces();
    body();
    cluster::stop();
    std::process::exit(0)
}

/// What was written through one LUN comes back through the next.
fn serves(cfgstring: &str, seed: u64) {
    let data = pattern(seed, 65536);
    let lun = Lun::opened(&format!("{cfgstring};open=fail"), BYTES);
    assert_eq!(lun.write(4096, &data), OK);
    assert_eq!(lun.flush(), OK);
    drop(lun);
    let lun = Lun::opened(&format!("{cfgstring};open=fail"), BYTES);
    assert!(lun.read(4096, data.len()) == (OK, data), "{cfgstring}");
}

const ADDRESS: &str = "fd00:77::1";

/// A host that has a name, whose only address is one of IPv6.
fn six() {
    run("ip", &["-6", "addr", "add", &format!("{ADDRESS}/64"), "dev", "lo", "nodad"]).unwrap();
    let own = Path::new("/run/hosts");
    fs::write(own, format!("::1 localhost\n{ADDRESS} six\n")).unwrap();
    mount(Some(own), "/etc/hosts", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

fn by_name_and_by_address() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", BYTES);
    serves(&volume.cfgstring("disk.img", ""), 1);
    // No colon survives on its way through the kernel.
    let escaped = ADDRESS.replace(':', "%3A");
    serves(&format!("glfs/{}@{escaped}/disk.img;space-warning=0", volume.name), 2);
    // A dead server first.
    serves(
        &format!("glfs/{}@fd00%3A77%3A%3A2/disk.img;space-warning=0;server={escaped}", volume.name),
        3,
    );
}

/// A certificate where Gluster looks for it, which vouches for itself.
fn certificate() {
    let folder = Path::new("/run/ssl");
    fs::create_dir(folder).unwrap();
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (at("glusterfs.key"), at("glusterfs.pem"));
    let new =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gluster"];
    run("openssl", &[&new[..], &["-keyout", &key, "-out", &certificate]].concat()).unwrap();
    fs::copy(&certificate, at("glusterfs.ca")).unwrap();
    // Beside what else is there: the system's own settings.
    for entry in fs::read_dir("/usr/lib/ssl").unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(
            fs::canonicalize(entry.path()).unwrap(),
            folder.join(entry.file_name()),
        )
        .unwrap();
    }
    mount(Some(folder), "/usr/lib/ssl", None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

fn with_tls() {
    let options = [("client.ssl", "on"), ("server.ssl", "on"), ("auth.ssl-allow", "gluster")];
    let volume = Volume::start(&[], 1, &options);
    volume.image("disk.img", BYTES);
    serves(&volume.cfgstring("disk.img", ""), 1);
    assert_eq!(crate::metrics::tls_of(&volume), "on");
    // Who has no certificate is kept out: it was TLS that let us in.
    fs::remove_file("/usr/lib/ssl/glusterfs.key").unwrap();
    let mut stranger = Lun::new(
        &volume.cfgstring("disk.img", ";open=fail;open-timeout=5;connection=own"),
        BYTES,
        512,
    );
    assert_ne!(stranger.open(), 0, "opened without a certificate");
}
