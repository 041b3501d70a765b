//! Exit codes: what a script can rely on.

use std::fmt;
use std::process::ExitCode;

use hei_client::http::HttpError;
use hei_client::session::SessionError;

use crate::output;

/// The table shown by `hei --help`.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  done, and every check agreed
  1  a check failed: results disagree, or the self-test found a fault
  2  wrong usage
  3  the server cannot be reached, or did not answer in time
  4  the server refused the request, or the job failed
  5  a local file, its data or a key is unusable
  6  the server's model card or reply is not acceptable; nothing more was sent

Environment:
  HEI_URL         the server, instead of --url
  HEI_TOKENS      the file of the tokens that callers of a server need, instead of --tokens
  HEI_TOKEN_FILE  a file with the bearer token, instead of --token-file
  HEI_ADMIN_URL   the operator's listener, instead of --url of hei top
  HEI_CA          certificates of the authorities to trust for https, instead of --ca
  HEI_KERNEL      the most that may be used of the processor: scalar, avx2, avx512, ifma (see hei doctor)
  HEI_DATA        a server's data directory, instead of --data
  HEI_CONFIG      a server's file of settings, instead of --config; HEI_LISTEN, HEI_LOG and others: docs/config.md
  XDG_DATA_HOME   keys live in $XDG_DATA_HOME/hei/keys (default ~/.local/share/hei/keys), a server's
                  jobs in $XDG_DATA_HOME/hei/server
  NO_COLOR        no colors in help and error texts

Answers go to standard output, progress and errors to standard error.";

/// How a command that could not do its work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Disagreement = 1,
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    Local = 5,
    Unacceptable = 6,
}

/// An error with the exit code its origin decides.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

/// The outcome of a verb: `Ok(true)` when every check agreed.
pub(crate) type Outcome = Result<bool, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}") }
    }
}

impl Failure {
    /// The error of this type in the chain, if there is one.
    pub(crate) fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Says where it happened.
    pub(crate) fn context(self, place: String) -> Self {
        Self { exit: self.exit, error: self.error.context(place) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let exit = error.chain().find_map(classify).unwrap_or(Exit::Local);
        Self { exit, error }
    }
}

fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<HttpError>() {
        return Some(match error {
            HttpError::Unreachable { .. } | HttpError::UnknownOutcome { .. } | HttpError::Deadline => {
                Exit::Unreachable
            }
            HttpError::Problem(_) | HttpError::JobFailed { .. } => Exit::Refused,
            HttpError::InvalidUrl | HttpError::InvalidToken | HttpError::InsecureToken => Exit::Usage,
            HttpError::InvalidAuthority => Exit::Local,
            _ => Exit::Unacceptable,
        });
    }
    cause.downcast_ref::<SessionError>().map(|error| match error {
        SessionError::Card(_) | SessionError::Reply => Exit::Unacceptable,
        SessionError::Format { .. } | SessionError::SecretKeyNeeded(_) => Exit::Usage,
        _ => Exit::Local,
    })
}

/// Prints a failure and turns the outcome into the process's exit code.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(Exit::Disagreement as u8),
        // A reader that closed the pipe (`hei models | head`) has all it wanted.
        Err(failure) if is_broken_pipe(&failure.error) => ExitCode::SUCCESS,
        Err(failure) => {
            output::progress(format_args!("hei: {failure}"));
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}
