//! The program as its operator has it: signals, files that change, what it tells and where.

mod audit;
mod events;
mod newer_version;
mod observed;
mod reload;
mod served;
mod supervisor;
mod traces;
