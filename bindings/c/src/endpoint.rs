//! Which cluster, and how it is reached.

use crate::guard::{guarded, status, store, text};
use crate::status::{Failure, lockstep_status};
use lockstep_client::Endpoint;
use std::ffi::c_char;

/// Which cluster, and how it is reached: from the cluster's file. Handles are connected with it, and do not
/// need it afterwards.
#[derive(Debug)]
pub struct lockstep_endpoint {
    pub(crate) inner: Endpoint,
}

/// The endpoint of the file that `LOCKSTEP_CONFIG` names, or of `/etc/lockstep/lockstep.toml`. Variables
/// `LOCKSTEP_…` replace single keys, as for every command of lockstep.
///
/// # Safety
/// `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_endpoint_from_env(out: *mut *mut lockstep_endpoint) -> lockstep_status {
    // SAFETY: as the caller promises.
    status(guarded(|| unsafe { give_endpoint(out, Endpoint::from_env) }))
}

/// The endpoint of the cluster's file at `path`.
///
/// # Safety
/// `path` ends with 0, and `out` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_endpoint_from_file(
    path: *const c_char,
    out: *mut *mut lockstep_endpoint,
) -> lockstep_status {
    status(guarded(|| {
        // SAFETY: as the caller promises.
        let path = unsafe { text("path", path) }?;
        // SAFETY: as the caller promises.
        unsafe { give_endpoint(out, || Endpoint::from_file(path)) }
    }))
}

/// # Safety
/// `out` is NULL, or may be written to.
unsafe fn give_endpoint(
    out: *mut *mut lockstep_endpoint,
    read: impl FnOnce() -> Result<Endpoint, lockstep_client::ConfigErrors>,
) -> Result<(), Failure> {
    // SAFETY: as the caller promises. Until there is an endpoint, there is none.
    unsafe { store("out", out, std::ptr::null_mut()) }?;
    let endpoint = Box::new(lockstep_endpoint { inner: read()? });
    // SAFETY: as the caller promises.
    unsafe { store("out", out, Box::into_raw(endpoint)) }
}

/// The cluster's number; 0 for NULL.
///
/// # Safety
/// `endpoint` is NULL or an endpoint that is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_endpoint_cluster(endpoint: *const lockstep_endpoint) -> u64 {
    // SAFETY: as the caller promises.
    unsafe { endpoint.as_ref() }.map_or(0, |endpoint| endpoint.inner.cluster())
}

/// Frees an endpoint and sets `*endpoint` to NULL. Handles that were connected with it go on.
///
/// # Safety
/// `*endpoint` is NULL or an endpoint that is not closed, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lockstep_endpoint_close(endpoint: *mut *mut lockstep_endpoint) {
    // SAFETY: as the caller promises.
    unsafe { crate::guard::close_unguarded(endpoint) };
}

/// The endpoint at `endpoint`.
///
/// # Safety
/// `endpoint` is NULL, or an endpoint that is not closed for `'a`.
pub(crate) unsafe fn endpoint<'a>(endpoint: *const lockstep_endpoint) -> Result<&'a Endpoint, Failure> {
    // SAFETY: as the caller promises.
    let endpoint = unsafe { endpoint.as_ref() };
    let why = "the endpoint is NULL: it was closed, or its configuration was refused";
    endpoint.map(|endpoint| &endpoint.inner).ok_or_else(|| Failure::new(lockstep_status::ClosedHandle, why))
}
