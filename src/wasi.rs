//! What the filter asks of WASI, the host's side of a program's surroundings: its environment, and random bytes.
//!
//! By hand, so that the module is built without WASI's standard library, which every proxy would have to compile.
#![expect(unsafe_code, reason = "the host writes into memory")]

/// WASI's success.
const SUCCESS: u32 = 0;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    /// How many variables there are, and how many bytes all of them need.
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32;
    /// Each variable as `NAME=value` and a NUL, and the place of each.
    fn environ_get(places: *mut *mut u8, bytes: *mut u8) -> u32;
    fn random_get(bytes: *mut u8, size: usize) -> u32;
}

/// A variable of the environment that the VM was given; `None` also where its value is not UTF-8.
pub(crate) fn variable(name: &str) -> Option<String> {
    let bytes = environment()?;
    let mut variables = bytes.split(|&byte| byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Sixteen unpredictable bytes.
pub(crate) fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    // SAFETY: the host writes as many bytes as it is told.
    let done = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    (done == SUCCESS).then_some(bytes)
}

/// The whole environment, as WASI writes it.
fn environment() -> Option<Vec<u8>> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes the two numbers.
    if unsafe { environ_sizes_get(&raw mut count, &raw mut size) } != SUCCESS {
        return None;
    }
    let (mut places, mut bytes) = (vec![std::ptr::null_mut(); count], vec![0; size]);
    // SAFETY: there is room for as much as the host has just said.
    let done = unsafe { environ_get(places.as_mut_ptr(), bytes.as_mut_ptr()) };
    (done == SUCCESS).then_some(bytes)
}
