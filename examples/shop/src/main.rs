//! The shop as a process; see the library.
fn main() -> Result<(), shop::Error> {
    shop::serve(shop::Config::from_env()?)
}
