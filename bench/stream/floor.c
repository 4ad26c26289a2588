/* The floor of a fan-out: one prebuilt frame to every socket with plain send(2).

   floor FD...    stdin: the frame's size (4 bytes, this machine's order), the frame, then one byte for each event to send.
                  stdout, after each event: nanoseconds of CPU that it took (8 bytes).
   Ends with its stdin; exit code 1 where a socket didn't take the whole frame. */

#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int read_all(void *into, size_t size) {
    for (size_t have = 0; have < size;) {
        ssize_t got = read(0, (char *)into + have, size - have);
        if (got <= 0) return 0;
        have += (size_t)got;
    }
    return 1;
}

int main(int argc, char **argv) {
    int count = argc - 1;
    int *sockets = malloc(sizeof(int) * (size_t)(count + 1));
    uint32_t size;
    char go;
    if (!sockets || !read_all(&size, sizeof size)) return 1;
    char *frame = malloc(size);
    if (!frame || !read_all(frame, size)) return 1;
    for (int i = 0; i < count; i++) sockets[i] = atoi(argv[i + 1]);
    while (read_all(&go, 1)) {
        int64_t begun = cpu_ns();
        for (int i = 0; i < count; i++)
            if (send(sockets[i], frame, size, MSG_NOSIGNAL) != (ssize_t)size) return 1;
        int64_t spent = cpu_ns() - begun;
        if (write(1, &spent, sizeof spent) != sizeof spent) return 1;
    }
    return 0;
}
