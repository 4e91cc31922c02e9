//! What OTLP clients are answered, over both doors: success, partial success, errors that must
//! not be repeated, errors that must be, in each encoding and compression. The log is a fake one
//! that takes or refuses as it is told; the bytes of the wire are read by the official types.

#[path = "../support/downstream.rs"]
mod downstream;
mod forward;
mod grpc;
mod http;
mod support;
