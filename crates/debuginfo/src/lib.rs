//! Frames and values of a stopped process, from ELF and DWARF
