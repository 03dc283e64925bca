//! The size of a LUN, which follows that of its image.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::Lun;
use super::backend::Backend;
use crate::report;

/// An admin has set the LUN's size. It must be in the image, and nothing may be lost.
pub(super) fn resize<B: Backend>(lun: &Lun<B>, bytes: u64) -> Result<(), Errno> {
    let (log, now) = (&lun.log, lun.bytes.load(Ordering::Relaxed));
    let image = lun.gate.image().ok_or(Errno::EAGAIN).and_then(|image| image.size());
    let image = image.inspect_err(|e| report::error_always!(log, "resize to {bytes}: no size: {e}"))?;
    let wanted = lun.block_size.lun_in(bytes).unwrap_or(0);
    if wanted < now {
        report::error_always!(log, "a LUN of {now} bytes is not shrunk to {bytes}: initiators would lose data");
        return Err(Errno::EINVAL);
    }
    if wanted > image {
        report::error_always!(log, "{bytes} bytes do not fit, the image has {image}: grow it first (tcmu-glfs resize)");
        return Err(Errno::ENOSPC);
    }
    lun.bytes.store(wanted, Ordering::Relaxed);
    report::info_always!(log, "resized from {now} to {wanted} bytes");
    Ok(())
}

/// An image that has grown makes its LUN grow. One that was cut off is reported, once, and the LUN stays as it is.
pub(super) fn follow<B: Backend>(lun: &Lun<B>) {
    let (log, now) = (&lun.log, lun.bytes.load(Ordering::Relaxed));
    // An image that cannot be looked at now is looked at later.
    let Some(Ok(image)) = lun.gate.image().map(|image| image.size()) else { return };
    if image < now {
        if !lun.cut_off.swap(true, Ordering::Relaxed) {
            report::error_always!(log, "the image has been cut off: {image} bytes of {now}; reads past them fail");
        }
        return;
    }
    lun.cut_off.store(false, Ordering::Relaxed);
    let grown = lun.block_size.lun_in(image).unwrap_or(0);
    if grown <= now {
        return;
    }
    announce(lun, grown);
}

/// Has the kernel ask for a size ([`resize`]), and tell initiators.
pub(super) fn announce<B: Backend>(lun: &Lun<B>, bytes: u64) {
    let log = Arc::clone(&lun.log);
    let refused = move |errno| report::warning!(log, "the kernel refused a size of {bytes} bytes: {errno}; see dmesg");
    if let Err(errno) = lun.device.announce_size(bytes, refused) {
        report::warning!(lun.log, "the kernel could not be told of a size of {bytes} bytes: {errno}");
    }
}
