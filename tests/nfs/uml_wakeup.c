/* Wakes a User Mode Linux guest that missed a packet.
 *
 *     uml_wakeup PID
 *
 * The host's tun driver raises SIGIO before it wakes the guest's epoll descriptor, so a guest may look, find
 * nothing, and sleep until the next packet: stalls of 200 ms. This takes the descriptor, and when it stays
 * readable for a millisecond, raises SIGIO again. Ends with the guest.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int epoll_descriptor(const char *pid)
{
    char directory[64], link[64], path[512];
    struct dirent *entry;
    int found = -1;

    snprintf(directory, sizeof directory, "/proc/%s/fd", pid);
    DIR *open = opendir(directory);
    if (!open)
        return -1;
    while (found < 0 && (entry = readdir(open))) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        ssize_t length = readlink(path, link, sizeof link - 1);
        if (length > 0) {
            link[length] = 0;
            if (!strcmp(link, "anon_inode:[eventpoll]"))
                found = atoi(entry->d_name);
        }
    }
    closedir(open);
    return found;
}

static void wait_ms(long milliseconds)
{
    struct timespec time = { 0, milliseconds * 1000000 };
    nanosleep(&time, NULL);
}

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    pid_t pid = atoi(arguments[1]);
    int process = syscall(SYS_pidfd_open, pid, 0), theirs, epoll;
    if (process < 0)
        return 1;
    /* The guest makes it early, but not at once. */
    while ((theirs = epoll_descriptor(arguments[1])) < 0) {
        if (kill(pid, 0))
            return 0;
        wait_ms(10);
    }
    epoll = syscall(SYS_pidfd_getfd, process, theirs, 0);
    if (epoll < 0)
        return 1;

    struct pollfd guest[2] = { { epoll, POLLIN, 0 }, { process, POLLIN, 0 } };
    long pause = 1;
    for (;;) {
        if (poll(guest, 2, -1) < 0)
            return 1;
        if (guest[1].revents)
            return 0;
        wait_ms(pause);
        if (poll(guest, 1, 0) == 1) {
            kill(pid, SIGIO);
            /* A guest that is stopped or busy is not asked a thousand times a second. */
            pause = pause < 16 ? pause * 2 : 16;
        } else {
            pause = 1;
        }
    }
}
