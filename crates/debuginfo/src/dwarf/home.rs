//! Where a unit lies, as one number: the numbers of `Die::unit` are the same in every view of a file, and need no table.

/// What a unit's number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// By its place in `.debug_info`; where that is a skeleton, the unit of split DWARF that it stands for.
    Main(usize),
    /// By its place in `.debug_types`.
    Types(usize),
    /// By its place in the supplementary file.
    Supplementary(usize),
    /// By the unit that its `.dwo` file belongs to, and its place among that file's type units.
    SplitType { unit: usize, index: usize },
    /// By its row in the package's index of type units.
    PackageType(usize),
}

const KIND_SHIFT: u32 = 60;
const UNIT_SHIFT: u32 = 28;
const INDEX_MASK: usize = (1 << UNIT_SHIFT) - 1;
const REST_MASK: usize = (1 << KIND_SHIFT) - 1;

impl Home {
    /// The number.
    pub(super) fn number(self) -> usize {
        let of = |kind: usize, rest: usize| kind << KIND_SHIFT | rest & REST_MASK;
        match self {
            Self::Main(at) => of(0, at),
            Self::Types(at) => of(1, at),
            Self::Supplementary(at) => of(2, at),
            Self::SplitType { unit, index } => of(3, unit << UNIT_SHIFT | index & INDEX_MASK),
            Self::PackageType(row) => of(4, row),
        }
    }

    pub(super) fn of(number: usize) -> Self {
        let rest = number & REST_MASK;
        match number >> KIND_SHIFT {
            0 => Self::Main(rest),
            1 => Self::Types(rest),
            2 => Self::Supplementary(rest),
            3 => Self::SplitType { unit: rest >> UNIT_SHIFT, index: rest & INDEX_MASK },
            _ => Self::PackageType(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_one_place_each() {
        let homes = [
            Home::Main(7),
            Home::Types(7),
            Home::Supplementary(7),
            Home::SplitType { unit: 999_999, index: 123_456 },
            Home::PackageType(7),
        ];
        for home in homes {
            assert_eq!(Home::of(home.number()), home);
        }
    }
}
