# Names that come to be while another client looks for them.
#   names.pl make DIRECTORY COUNT    makes COUNT directories, and a while after each a file in it, by rename
#   names.pl look DIRECTORY COUNT    meanwhile, on another client: opens each directory afresh and looks for its file;
#                                    says how many were not seen at the end
use strict;
use warnings;
use Fcntl;
use POSIX ();

use constant { O_DIRECTORY => 0200000, FSYNC => 74 };
my ($what, $root, $count) = @ARGV;

# Seconds of a clock that runs evenly; the minimal perl has no other that is finer than a second.
sub now { (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

# Opening a directory makes the client ask the file server whether it has changed.
sub open_afresh {
    for my $directory (@_) {
        my $opened = POSIX::open($directory, O_DIRECTORY, 0);
        POSIX::close($opened) if defined $opened;
    }
}

sub make {
    my ($directory) = @_;
    mkdir $directory or die "mkdir $directory: $!";
    select undef, undef, undef, 0.06;
    my $file = POSIX::open("$directory/new", O_WRONLY | O_CREAT | O_EXCL, 0644) // die "create: $!";
    POSIX::write($file, 'x', 1);
    syscall FSYNC, $file;
    POSIX::close($file);
    rename "$directory/new", "$directory/link" or die "rename: $!";
}

sub look {
    my ($directory) = @_;
    my $started = now();
    until (-d $directory) {
        open_afresh($root);
        die "$directory is not made" if now() - $started > 60;
    }
    $started = now();
    until (-e "$directory/link") {
        open_afresh($directory);
        last if now() - $started > 0.25;
    }
}

my @directories = map { "$root/$_" } 1 .. $count;
if ($what eq 'make') {
    make($_) for @directories;
} else {
    look($_) for @directories;
    sleep 2;
    my $missing = grep { open_afresh($root, $_); !-e "$_/link" } @directories;
    print "$missing\n";
}
