//! The encrypted inference client.
//!
//! [`session::Session`] does the cryptography and nothing else: bytes in, bytes out, no I/O, no clock, no threads.
//! `http` (a feature) carries the bytes; `store` (feature `fs`) keeps key files.
//!
//! ```no_run
//! # #[cfg(feature = "http")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hei_ckks::OsRandomness;
//! use hei_client::http::{HttpClient, IdempotencyKey, Options};
//! use hei_client::session::{Layout, RequestOptions, Session};
//!
//! let client = HttpClient::new("http://127.0.0.1:8000", Options::default())?;
//! let card = client.card(&"logistic_v1".parse()?, &"1.0.0".parse()?)?;
//! // Checks the card: primes, security, shapes. Nothing is taken on trust that can be computed.
//! let session = Session::new(&card, Layout::Coefficients)?;
//!
//! let rows = [[0.5, -1.0, 0.25, 0.0, 1.0, 0.1, -0.3, 0.7]];
//! let mut randomness = OsRandomness;
//! let key = session.key(&mut randomness)?;
//! let (request, pending) = session.encrypt(key, &rows, RequestOptions::default(), &mut randomness)?;
//!
//! let limit = session.reply_limit(&pending);
//! let job = client.submit(&request.body, request.media, &IdempotencyKey::random()?)?;
//! let finished = client.wait(&job, limit)?;
//! session.check_result(&pending, &finished.result)?;
//! let reply = client.result(finished, limit)?;
//!
//! let scores = session.decrypt(pending, &reply)?;
//! println!("{:.4}", scores.reveal()[0]);
//! # Ok(()) }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```

#[cfg(feature = "http")]
pub mod http;
pub mod keyfile;
pub mod session;
#[cfg(feature = "fs")]
pub mod store;
