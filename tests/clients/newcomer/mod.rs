//! A newcomer's path: from nothing to a stack that runs from our registry, by the commands of README.md and of the run
//! book where README.md sends the reader, read out of their blocks and typed in their order.
//!
//! What a program's build takes, and a machine with docker and a swarm, is there before. In place of `cargo` stands
//! what it built; `docker pull hello-world` is the one command that is not typed, since a machine of a test has no
//! network.

mod person;

use std::time::{Duration, Instant};

use crate::support::book::commands;
use person::Person;

/// How long a service may take to run: the first health check comes after 10 s.
const PATIENCE: Duration = Duration::from_secs(60);

const NAME: &str = "docker-registry.dccn.nl:5000";

#[test]
fn every_command_of_the_readme_works_as_written() {
    let begin = Instant::now();
    let mut person = Person::arrive();
    let arrived = Instant::now();
    let told = |what: &str| println!("{:5.1} s: {what}", begin.elapsed().as_secs_f64());
    told("a machine with docker and a swarm");

    // In the first terminal, then in the second.
    let mut first = commands("README.md", "On a fresh machine with Rust");
    person.serve(&first.pop().expect("a command"), "certs/ca.crt", "localhost:5000");
    assert!(first.is_empty(), "{first:#?}");
    let second = commands("README.md", "In a second terminal");
    person.type_all(&second);
    person.has_pushed("localhost:5000/hello-world");
    person.interrupt();
    told("pushed to a server of the first terminal");

    let mut production = commands("README.md", "\n## In production\n");
    let serve = production.pop().expect("a command");
    person.type_all(&production);
    person.serve(&serve, "/etc/pakhuis/certs/ca.crt", NAME);
    person.interrupt();
    told("a server in production");

    // The other way to run it, which needs nothing of that.
    person.forget_production();
    person.type_all(&commands("docs/operations.md", "**Cold start.**"));
    person.sees(PATIENCE, "docker service ls --format {{.Replicas}}", "1/1");
    told("the registry runs as a service of the swarm");

    // `ca.crt` and the stack are what the reader brings.
    person.brings_ca_and_stack(&format!("{NAME}/hello-world"));
    person.type_all(&commands("README.md", "\n## On the nodes of a swarm\n"));
    person.sees(PATIENCE, "docker service ls --filter name=my-stack --format {{.Replicas}}", "1/1");
    let image = "docker service inspect --format {{.Spec.TaskTemplate.ContainerSpec.Image}} my-stack_hello";
    person.sees(PATIENCE, image, &format!("{NAME}/hello-world:latest@sha256:"));
    told("the stack runs from it");
    println!(
        "{} commands, {} of them builds that were there already, in {:.0} s; {} not typed",
        person.typed,
        person.builds,
        arrived.elapsed().as_secs_f64(),
        person.left_out
    );
}
