//! Real clients and programs against Pakhuis. A program that is not installed is a failure, never a skip.

mod htpasswd;
