//! x
use std::path::Path;
use super::Outcome;
use crate::error::BenchError;
pub(crate) fn write(_d: &Path, _o: &Outcome) -> Result<(), BenchError> { Ok(()) }
