// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A volume without glusterd: one brick process, and a volfile for the client.
//!
//! The brick is a process of its own because libgfapi cannot host one: `storage/posix` works on
//! lists in the context that only `glusterfsd` initialises (10.3: `posix_spawn_ctx_janitor_thread`,
//! `glusterfsd.c`).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use tempfile::TempDir;

use super::{eventually, scratch};

/// The brick that all tests of this process share.
struct Brick {
    dir: TempDir,
    process: Child,
}

static BRICK: LazyLock<Mutex<Option<Brick>>> = LazyLock::new(|| {
    // Statics are not dropped: without this the brick would outlive the tests.
    // SAFETY: a plain C function to call at exit.
    unsafe { libc::atexit(stop_brick) };
    Mutex::new(Some(start_brick()))
});

extern "C" fn stop_brick() {
    if let Some(mut brick) = BRICK.lock().ok().and_then(|mut brick| brick.take()) {
        let _gone_already = brick.process.kill().is_err();
        let _status = brick.process.wait();
    }
}

fn start_brick() -> Brick {
    // Not in a tmpfs, which may lack the trusted.* attributes a brick needs.
    let dir = tempfile::Builder::new().prefix("brick-").tempdir_in(scratch::folder()).unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("data")).unwrap();
    let (data, socket) = (path("data"), path("socket"));
    let brick = format!(
        "volume posix\n  type storage/posix\n  option directory {}\nend-volume\n\
         volume locks\n  type features/locks\n  subvolumes posix\nend-volume\n\
         volume brick\n  type performance/io-threads\n  subvolumes locks\nend-volume\n\
         volume server\n  type protocol/server\n  option transport-type unix\n  \
         option transport.address-family unix\n  option transport.socket.listen-path {}\n  \
         option auth.addr.brick.allow *\n  subvolumes brick\nend-volume\n",
        data.display(),
        socket.display(),
    );
    // As the volfiles of real volumes: what the plugin must pass through is there.
    let client = format!(
        "volume local-client-0\n  type protocol/client\n  option transport-type unix\n  \
         option transport.address-family unix\n  option transport.socket.connect-path {}\n  \
         option remote-host localhost\n  option remote-subvolume brick\nend-volume\n\
         volume local-write-behind\n  type performance/write-behind\n  \
         subvolumes local-client-0\nend-volume\n\
         volume local-open-behind\n  type performance/open-behind\n  \
         subvolumes local-write-behind\nend-volume\n\
         volume local-quick-read\n  type performance/quick-read\n  \
         subvolumes local-open-behind\nend-volume\n\
         volume local-md-cache\n  type performance/md-cache\n  \
         subvolumes local-quick-read\nend-volume\n\
         volume local-io-threads\n  type performance/io-threads\n  \
         subvolumes local-md-cache\nend-volume\n",
        socket.display(),
    );
    fs::write(path("brick.vol"), brick).unwrap();
    fs::write(path("client.vol"), client).unwrap();
    let process = Command::new("glusterfsd")
        .args(["--no-daemon", "-f"])
        .arg(path("brick.vol"))
        .arg("-l")
        .arg(path("brick.log"))
        .stdin(Stdio::null())
        .spawn()
        .expect("glusterfsd is needed (Debian: glusterfs-server)");
    eventually("the brick listens", || socket.exists());
    Brick { dir, process }
}

/// A directory on the brick for one test.
pub struct LocalVolume {
    brick: PathBuf,
    directory: String,
    pub volfile: PathBuf,
}

impl LocalVolume {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let brick = BRICK.lock().unwrap().as_ref().unwrap().dir.path().to_owned();
        let directory = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(brick.join("data").join(&directory)).unwrap();
        Self { volfile: brick.join("client.vol"), brick, directory }
    }

    /// Over a connection that no other test shares: what the volume turns out not to support is
    /// known for all images of a connection.
    pub fn apart() -> Self {
        let volume = Self::new();
        let volfile = volume.brick.join(format!("{}.vol", volume.directory));
        fs::copy(&volume.volfile, &volfile).unwrap();
        Self { volfile, ..volume }
    }

    /// Creates an image full of zeros, or grows one.
    pub fn image(&self, name: &str, bytes: u64) {
        let options = fs::File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(self.brick_path(name));
        options.unwrap().set_len(bytes).unwrap();
    }

    /// Cuts an image off, behind the volume's back.
    pub fn image_shrinks(&self, name: &str, bytes: u64) {
        fs::File::options()
            .write(true)
            .open(self.brick_path(name))
            .unwrap()
            .set_len(bytes)
            .unwrap();
    }

    /// The image as the brick has it.
    pub fn brick_path(&self, name: &str) -> PathBuf {
        self.brick.join("data").join(&self.directory).join(name)
    }

    pub fn bytes_on_brick(&self, name: &str, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fs::File::open(self.brick_path(name)).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// The path of an image, as faults and log lines name it.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    /// A cfgstring for one of its images. `options` begins with a semicolon, or is empty.
    pub fn cfgstring(&self, name: &str, options: &str) -> String {
        let space = space_warning(options);
        let volfile = self.volfile.display();
        format!("glfs/local@here/{};volfile={volfile}{space}{options}", self.path(name))
    }
}

/// Whatever this machine's disk has left: no LUN warns of it, unless its test is about that.
fn space_warning(options: &str) -> &'static str {
    if options.contains("space-warning=") { "" } else { ";space-warning=0" }
}
