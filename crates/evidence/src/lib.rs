//! Log rings and what else is known about the time before
