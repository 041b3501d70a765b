//! Which kernel runs, and why.

use hei_ring::kernel::{self, Level};

use crate::exit::{Exit, Failure};

/// Names the most that may be used of the processor.
pub(crate) const VARIABLE: &str = "HEI_KERNEL";

/// What was found, what is used, and the reason.
pub(crate) struct Choice {
    pub(crate) detected: Level,
    pub(crate) used: Level,
    pub(crate) reason: String,
}

/// Obeys the environment. To be called before anything is computed.
pub(crate) fn from_environment() -> Result<(), Failure> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let level = parse(&value.to_string_lossy(), kernel::detected())
        .map_err(|message| Failure::new(Exit::Usage, message))?;
    // Nothing has run, and the level was detected: it takes effect.
    if kernel::force(level) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format_args!("{VARIABLE}: {} cannot be used any more", level.name())))
}

fn parse(value: &str, detected: Level) -> Result<Level, String> {
    let names: Vec<&str> = Level::ALL.iter().map(|level| level.name()).collect();
    let level = Level::from_name(value)
        .ok_or_else(|| format!("{VARIABLE} is not a kernel: choose one of {}", names.join(", ")))?;
    if level > detected {
        let (asked, most) = (level.name(), detected.name());
        return Err(format!(
            "{VARIABLE}={asked}: this processor offers {most} at most; unset it or choose less"
        ));
    }
    Ok(level)
}

/// What runs in this process.
pub(crate) fn choice() -> Choice {
    let (detected, used) = (kernel::detected(), kernel::level());
    let reason = if std::env::var_os(VARIABLE).is_some() {
        format!("{VARIABLE} says so")
    } else if used == detected {
        "the most this processor offers".to_owned()
    } else {
        "limited by this program".to_owned()
    };
    Choice { detected, used, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_taken_by_name_up_to_what_was_detected() {
        for level in Level::ALL {
            assert_eq!(parse(level.name(), Level::Ifma), Ok(level));
        }
        assert_eq!(parse("scalar", Level::Scalar), Ok(Level::Scalar));
        assert!(parse("ifma", Level::Scalar).unwrap_err().contains("scalar at most"));
        assert!(parse("fastest", Level::Ifma).unwrap_err().contains("scalar, "));
    }
}
