//! The paths that the model makes of shown names are expressions here.

pub use freezeframe_model::path_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_name_is_a_step() {
        for (names, expected) in [
            (&["order", "items", "[3]", "price"][..], "order.items[3].price"),
            (&["self", "0", "*"], "self.0.*"),
            (&["shop::LIMIT"], "shop::LIMIT"),
            (&["map", "[\"a]\\\"b\"]", "x"], "map[\"a]\\\"b\"].x"),
            (&["{closure_env#0}", "std::_Vector_base<int>"], "`{closure_env#0}`.`std::_Vector_base<int>`"),
            (&["", "a"], "``.a"),
            (&["true", "as"], "`true`.as"),
        ] {
            let path = path_of(names);
            assert_eq!(path, expected);
            super::super::syntax::parse(&path).unwrap_or_else(|error| panic!("{}", error.explain(&path)));
        }
    }
}
