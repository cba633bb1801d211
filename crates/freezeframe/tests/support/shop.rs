//! The sample shop under supervision.

use super::scene::{Scene, Setup};

/// The story of the shop that ends in a division by zero.
pub(crate) fn journey() -> &'static [shop::Request] {
    let story = shop::STORIES.iter().find(|story| story.name == "divide-by-zero");
    story.expect("the shop has this story").journey
}

fn shop_setup(config: &str) -> Setup {
    let config = format!("[service]\nname = \"shop\"\nready.path = \"/health\"\n{config}");
    let command = vec![env!("CARGO_BIN_EXE_freezeframe").to_owned(), "shop".to_owned()];
    Setup { config, command, ..Setup::default() }
}

/// The shop with its database in the scratch directory.
pub(crate) fn start_shop(config: &str) -> Scene {
    let mut scene = Scene::prepare(shop_setup(config));
    let database = scene.scratch.path().join("shop.db");
    let line = format!("env = {{ SHOP_DB = \"{}\", RUST_BACKTRACE = \"1\" }}\n", database.display());
    let config = format!("[service]\nname = \"shop\"\nready.path = \"/health\"\n{line}{config}");
    std::fs::write(scene.scratch.path().join("freezeframe.toml"), config).expect("written");
    scene.run();
    scene.wait_ready();
    scene
}
