//! Compiles the C part. Always with debug information and little optimisation, as its old makefile did.

fn main() {
    println!("cargo::rerun-if-changed=native/loyalty.c");
    println!("cargo::rerun-if-changed=native/loyalty.h");
    cc::Build::new()
        .file("native/loyalty.c")
        .debug(true)
        .opt_level(1)
        .flag_if_supported("-std=c11")
        .warnings(true)
        .compile("loyalty");
}
