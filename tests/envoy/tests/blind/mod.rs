//! Nobody sees, chooses, forges or predicts a variant: attacks on the shipped configuration.

mod choose;
mod choose_http2;
mod distinguishers;
mod overrides;
mod predict;
mod secrets;
mod tokens;
mod wire;
