// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs create`: new images.

use std::process::ExitCode;

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::{File, Opener, Store};
use handler_glfs::lun::backend::{AcquireError, ImageLock as _, Preempt, Source as _};
use nix::errno::Errno;

use crate::copy::{self, Work};
use crate::findings::failed;
use crate::interrupt::Interrupt;
use crate::portrait::{Fencing, Portrait};
use crate::session::Session;
use crate::{place, size};

/// Creates an image: empty, or a copy of another one.
///
/// It reads as zeros and takes no space until it is written, unless --preallocate is given. A file
/// that exists is left as it is, and the command fails. What was begun and could not be finished,
/// or was interrupted with Ctrl-C, is removed again.
///
/// With --from it is a copy, without the holes and zeros of the source. Whoever writes to that
/// meanwhile spoils the copy: stop its LUN first, or copy from a snapshot of the volume, whose
/// files are in .snaps/NAME/ if features.uss is on (gluster snapshot).
///
/// Images of other formats are best brought in by QEMU's qemu-img, which writes to a volume itself;
/// the last example shows how.
#[derive(Debug, clap::Args)]
#[command(override_usage = "tcmu-glfs create [OPTIONS] --size <SIZE> <IMAGE>
       tcmu-glfs create [OPTIONS] --from <IMAGE> <IMAGE>")]
#[command(after_help = "Examples: tcmu-glfs create vol@gluster1/disk.img --size 10G
          tcmu-glfs create vol@gluster1/vm/copy.img --parents --from vol@gluster1/disk.img
          qemu-img convert -O raw disk.qcow2 gluster://gluster1/vol/disk.img")]
pub(crate) struct Args {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    #[arg(value_parser = place::parse)]
    image: Config,
    /// Its size: a whole number and K, M, G, T or P, of 1024 each. With --from at least that of the
    /// source, which is the default
    #[arg(long, value_parser = size::parse, required_unless_present = "from")]
    size: Option<u64>,
    /// Give it all its space on the bricks now, so that a volume that is full stops nobody later
    ///
    /// Where a volume cannot do that itself (disperse) zeros are written, which takes as long as
    /// writing the whole image.
    #[arg(long, conflicts_with = "from")]
    preallocate: bool,
    /// Create the missing folders of PATH, too
    #[arg(long)]
    parents: bool,
    /// Copy this image; it may be on another volume
    #[arg(long, value_name = "IMAGE", value_parser = place::parse)]
    from: Option<Config>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let label = args.image.label();
    let session = Session::begin();
    match create(args, &session) {
        Ok(bytes) => {
            let how = if args.preallocate { ", allocated" } else { "" };
            println!("{label}: created, {}{how}", size::show(bytes));
            ExitCode::SUCCESS
        }
        Err(why) => failed(&format!("{label}: {why}")),
    }
}

fn create(args: &Args, session: &Session) -> Result<u64, String> {
    let config = &args.image;
    let source = args.from.as_ref().map(|config| Origin::open(config, session)).transpose()?;
    let bytes = match (args.size, &source) {
        (Some(bytes), Some(source)) if bytes < source.bytes => {
            return Err(format!(
                "--size is less than the {} of {}",
                size::show(source.bytes),
                source.label
            ));
        }
        (Some(bytes), _) => bytes,
        (None, Some(source)) => source.bytes,
        (None, None) => return Err(String::from("--size or --from is needed")),
    };
    let store = Opener::new(config)
        .connect(config.open_timeout)
        .map_err(|not| session.explain(&not.why))?;
    if args.preallocate {
        let free =
            store.free().map_err(|errno| format!("the free space could not be asked: {errno}"))?;
        if free < bytes {
            return Err(format!(
                "not enough space: it needs {}, and {} are free",
                size::show(bytes),
                size::show(free)
            ));
        }
    }
    if args.parents {
        store
            .create_folders_for(&config.path)
            .map_err(|errno| format!("its folder could not be created: {errno}"))?;
    }
    let interrupt = Interrupt::catch().map_err(|e| format!("signals could not be caught: {e}"))?;
    let image = store.create(&config.path).map_err(not_created)?;
    let mut half_made = HalfMade { store: &store, path: &config.path, finished: false };
    let filled = fill(&image, bytes, source.as_ref(), args.preallocate, interrupt);
    filled
        .map_err(|why| session.explain(&format!("{why}; what had been made of it is removed")))?;
    half_made.finished = true;
    Ok(bytes)
}

fn fill(
    image: &File,
    bytes: u64,
    source: Option<&Origin>,
    preallocate: bool,
    interrupt: Interrupt,
) -> Result<(), String> {
    if preallocate {
        let work = Work::new(interrupt, bytes, "allocating");
        copy::allocate(image, bytes, &work).map_err(|why| why.to_string())?;
    } else {
        image
            .set_size(bytes)
            .map_err(|errno| format!("it could not be given its size: {errno}"))?;
        if let Some(source) = source {
            let work = Work::new(interrupt, source.bytes, "copying");
            copy::clone(&source.image, image, source.bytes, &work)
                .map_err(|why| why.to_string())?;
        }
    }
    image
        .sync_all()
        .map_err(|errno| format!("it could not be written to the bricks' disks: {errno}"))?;
    match image.facts() {
        Ok(facts) if facts.bytes == bytes => Ok(()),
        Ok(facts) => Err(format!("it has {} bytes in place of {bytes}", facts.bytes)),
        Err(errno) => Err(format!("its size could not be asked: {errno}")),
    }
}

fn not_created(errno: Errno) -> String {
    match errno {
        Errno::EEXIST => String::from(
            "exists already, and is left as it is; choose another name, or remove it first",
        ),
        Errno::ENOENT => String::from("its folder does not exist (ENOENT); --parents creates it"),
        Errno::ENOTDIR => String::from("a part of its path is not a folder (ENOTDIR); check PATH"),
        errno => format!("could not be created: {errno}"),
    }
}

/// An image to copy.
#[derive(Debug)]
struct Origin {
    label: String,
    bytes: u64,
    image: File,
}

impl Origin {
    fn open(config: &Config, session: &Session) -> Result<Self, String> {
        let label = config.label();
        let failed = |why: String| format!("the source {label}: {why}");
        let opener = Opener::new(&Config { access: Access::ReadOnly, ..config.clone() });
        let image = opener
            .open(config.open_timeout, None)
            .map_err(|not| failed(session.explain(&not.why)))?
            .image;
        let portrait = Portrait::of(&image)
            .map_err(|errno| failed(format!("its size could not be asked: {errno}")))?;
        match &portrait.fencing {
            Ok(Fencing::Owned(owner)) => {
                return Err(failed(format!(
                    "it is owned by {owner}: stop its LUN first, or copy from a snapshot"
                )));
            }
            // Only an owner may read it. A gateway that wants it meanwhile takes it, and the copy
            // fails.
            Ok(Fencing::Free) => {
                own(&image).map_err(|why| failed(format!("it could not be owned: {why}")))?;
            }
            _ => {}
        }
        Ok(Self { bytes: portrait.facts.bytes, label, image })
    }
}

/// Acquires the lock of an image, until it is closed.
fn own(image: &File) -> Result<(), AcquireError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let heartbeat = format!("{} {} copy", host.to_string_lossy(), std::process::id());
    image.acquire(&heartbeat, Preempt::Never).map(drop)
}

/// Removes the image when it is dropped, unless it is finished.
#[derive(Debug)]
struct HalfMade<'a> {
    store: &'a Store,
    path: &'a str,
    finished: bool,
}

impl Drop for HalfMade<'_> {
    fn drop(&mut self) {
        if !self.finished {
            if let Err(errno) = self.store.remove(self.path) {
                failed(&format!(
                    "{}: half made, and could not be removed: {errno}; remove it by hand",
                    self.path
                ));
            }
        }
    }
}
