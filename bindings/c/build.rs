//! The shared library's name for the loader: programs are bound to the version of the binary interface.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liblockstep_c.so.2");
}
