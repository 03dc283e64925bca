// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs create`: new images.

use handler_glfs::config::{Access, Config};
use handler_glfs::gluster::{File, Opener};
use handler_glfs::lun::backend::{AcquireError, ImageLock as _, Preempt};
use nix::errno::Errno;

use crate::configfs::KernelLun;
use crate::copy::{self, Progress};
use crate::exit::{CommandError, Outcome};
use crate::files::Files;
use crate::gfapi_session::GfapiSession;
use crate::image_info::{self, Fencing, ImageInfo};
use crate::interrupt::Interrupt;
use crate::{cfgstring_arg, size};

/// Creates an image: empty, or a copy of another one.
///
/// It reads as zeros and takes no space until it is written, unless --preallocate is given. A file
/// that exists is left as it is, and the command fails. An incomplete image, after an error or
/// Ctrl-C, is removed.
///
/// With --from it is a copy, without the holes and zeros of the source. Writes to the source
/// meanwhile spoil the copy: an image that a LUN of this host serves, or that another gateway owns,
/// is refused. Copy from a snapshot of the volume instead, whose files are in .snaps/NAME/ if
/// features.uss is on.
///
/// Images of other formats are converted onto a LUN (qemu-img convert): docs/import.md.
#[derive(Debug, clap::Args)]
#[command(override_usage = "tcmu-glfs create [OPTIONS] --size <SIZE> <IMAGE>
       tcmu-glfs create [OPTIONS] --from <IMAGE> <IMAGE>")]
#[command(after_help = "Examples: tcmu-glfs create vol@gluster1/disk.img --size 10G
          tcmu-glfs create vol@gluster1/vm/copy.img --parents --from vol@gluster1/disk.img")]
pub(crate) struct Args {
    /// VOLUME@HOST/PATH[;KEY=VALUE]... as in a configuration, see tcmu-glfs(5)
    image: String,
    /// Its size: a whole number and K, M, G, T or P, of 1024 each. With --from at least that of the
    /// source, which is the default
    #[arg(long, value_parser = size::parse, required_unless_present = "from")]
    size: Option<u64>,
    /// Allocate all its space on the bricks now, so that a full volume stops no write later
    ///
    /// Where a volume cannot do that itself (disperse) zeros are written, which takes as long as
    /// writing the whole image.
    #[arg(long, conflicts_with = "from")]
    preallocate: bool,
    /// Create the missing folders of PATH, too
    #[arg(long)]
    parents: bool,
    /// Copy this image; it may be on another volume
    #[arg(long, value_name = "IMAGE")]
    from: Option<String>,
    /// Copy an image that a LUN of this host serves, although its initiators may change it
    /// meanwhile
    #[arg(long, requires = "from")]
    force: bool,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let config = cfgstring_arg::parse(&args.image)?;
    let from = args.from.as_deref().map(cfgstring_arg::parse).transpose()?;
    if let Some(from) = from.as_ref().filter(|_| !args.force) {
        refuse_source_in_use(args, from)?;
    }
    let label = config.label();
    let session = GfapiSession::begin();
    let made = make(args, &config, from.as_ref(), &session);
    let (bytes, free) = made.map_err(|why| format!("{label}: {why}"))?;
    let how = if args.preallocate { ", allocated" } else { "" };
    println!("{label}: created, {}{how}", size::show(bytes));
    if let Some(free) = free.filter(|&free| free < bytes && !args.preallocate) {
        anstream::eprintln!(
            "note: the volume has only {} free: when they are used up, writes of all its images \
             fail",
            size::show(free)
        );
    }
    Ok(true)
}

/// A copy of an image that changes meanwhile is no image of any moment.
fn refuse_source_in_use(args: &Args, from: &Config) -> Result<(), CommandError> {
    match KernelLun::serving(&args.files, from).first() {
        None => Ok(()),
        Some(lun) => Err(CommandError::Failed(format!(
            "the source {} is served by LUN {} of this host, whose initiators may change it \
             meanwhile: stop them and use --force, or copy from a snapshot of the volume \
             (.snaps/NAME/{})",
            from.label(),
            lun.name,
            from.path
        ))),
    }
}

/// Size of the new image, and free space of the volume before; `None` if unknown.
fn make(
    args: &Args,
    config: &Config,
    from: Option<&Config>,
    session: &GfapiSession,
) -> Result<(u64, Option<u64>), String> {
    let source = from.map(|config| Origin::open(config, session)).transpose()?;
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
    let client = Opener::new(config)
        .connect(config.open_timeout)
        .map_err(|not| session.explain(&not.why))?;
    let free = client.free();
    if args.preallocate {
        let free = free.map_err(|errno| {
            format!("the free space is unknown: {}", image_info::explain(config, errno))
        })?;
        if free < bytes {
            return Err(format!(
                "not enough space: it needs {}, and {} are free",
                size::show(bytes),
                size::show(free)
            ));
        }
    }
    if args.parents {
        client.create_folders_for(&config.path).map_err(|errno| {
            format!("its folder could not be created: {}", image_info::explain(config, errno))
        })?;
    }
    let interrupt = Interrupt::catch().map_err(|e| format!("signals could not be caught: {e}"))?;
    let image = client.create(&config.path).map_err(|errno| not_created(config, errno))?;
    fill(&image, bytes, source.as_ref(), args.preallocate, interrupt).map_err(|why| {
        let removed = match client.remove(&config.path) {
            Ok(()) => String::from("the incomplete image is removed"),
            Err(errno) => format!(
                "the incomplete image could not be removed ({errno}): tcmu-glfs remove {}, when \
                 the volume answers again",
                config.label()
            ),
        };
        session.explain(&format!("{why}; {removed}"))
    })?;
    Ok((bytes, free.ok()))
}

fn fill(
    image: &File,
    bytes: u64,
    source: Option<&Origin>,
    preallocate: bool,
    interrupt: Interrupt,
) -> Result<(), String> {
    if preallocate {
        let progress = Progress::new(interrupt, bytes, "allocating");
        copy::allocate(image, bytes, &progress).map_err(|why| why.to_string())?;
    } else {
        image.set_size(bytes).map_err(|errno| match errno {
            Errno::EFBIG => format!("the bricks' file systems have no files of that size: {errno}"),
            errno => format!("it could not be given its size: {errno}"),
        })?;
        if let Some(source) = source {
            let progress = Progress::new(interrupt, source.bytes, "copying");
            copy::clone(&source.image, image, source.bytes, &progress)
                .map_err(|why| why.to_string())?;
        }
    }
    image
        .sync_all()
        .map_err(|errno| format!("it could not be written to the bricks' disks: {errno}"))?;
    match image.metadata() {
        Ok(stat) if stat.bytes == bytes => Ok(()),
        Ok(stat) => Err(format!("it has {} bytes in place of {bytes}", stat.bytes)),
        Err(errno) => Err(format!("its size is unknown: {errno}")),
    }
}

fn not_created(config: &Config, errno: Errno) -> String {
    match errno {
        Errno::EEXIST => String::from(
            "exists already, and is left as it is; choose another name, or remove it first",
        ),
        Errno::ENOENT => String::from("its folder does not exist (ENOENT); --parents creates it"),
        Errno::ENOTDIR => String::from("a part of its path is not a folder (ENOTDIR); check PATH"),
        errno => format!("could not be created: {}", image_info::explain(config, errno)),
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
    fn open(config: &Config, session: &GfapiSession) -> Result<Self, String> {
        let label = config.label();
        let failed = |why: String| format!("the source {label}: {why}");
        let image = image_info::open(config, Access::ReadOnly, session)
            .map_err(|why| format!("the source {why}"))?;
        let info = ImageInfo::of(&image)
            .map_err(|errno| failed(format!("its size is unknown: {errno}")))?;
        match &info.fencing {
            Ok(Fencing::Owned(owner)) => {
                return Err(failed(format!(
                    "it is owned by {owner}: stop its LUN first, or copy from a snapshot"
                )));
            }
            // Only an owner may read it. A gateway that wants it meanwhile takes it, and the copy
            // fails.
            Ok(Fencing::Free) => {
                own(&image)
                    .map_err(|why| failed(format!("its lock could not be acquired: {why}")))?;
            }
            _ => {}
        }
        Ok(Self { bytes: info.stat.bytes, label, image })
    }
}

/// How long an owner that serves commands may leave no heartbeat: a heartbeat, and a second for its
/// way (`lun/heartbeat.rs`).
const OWNER_SILENCE: std::time::Duration = std::time::Duration::from_secs(4);

/// Acquires the lock of an image, until it is closed.
fn own(image: &File) -> Result<(), AcquireError> {
    let host = nix::unistd::gethostname().unwrap_or_default();
    let heartbeat = format!("{} {} copy", host.to_string_lossy(), std::process::id());
    match image.acquire(&heartbeat, Preempt::Never) {
        // A replica may not know of a holder: one that serves would leave another heartbeat.
        Err(AcquireError::Unconfirmed(last)) => {
            std::thread::sleep(OWNER_SILENCE);
            if image.heartbeat().is_ok_and(|now| now == last) {
                image.acquire(&heartbeat, Preempt::Silent).map(drop)
            } else {
                Err(AcquireError::Held)
            }
        }
        outcome => outcome.map(drop),
    }
}
