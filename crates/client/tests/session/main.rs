//! Sessions against the reference models, with a server that is honest, and with one that lies.

mod agreement;
mod cards;
mod replies;
mod support;
