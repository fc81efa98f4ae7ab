/* The real bash as a fork server: preloaded into `bash -c SLOT`.
 *
 * Bash reads the file that BASH_ENV names when it is set up and before it reads its command, so opening that file is the
 * last moment before a text counts. There this library stays: it reads a text, forks, and the child goes on as the bash
 * that was started with that text as its command. What the child opens is a file that says which kind of programs
 * there are. The parent is pid 1 of a PID namespace: whatever a text leaves behind becomes its child, and is ended.
 *
 * Request: u32 kinds (a bit each), u32 own (a bash of its own for each), u32 length, text.
 * Answer: u32 stopped, u32 length, records of starts, u32 length, names of files, each ended by NUL.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUESTS = 200, ANSWERS, STARTS, KINDS = 3, FILES_MAX = 1 << 16 };
enum { FORKED_MS = 300, OWN_MS = 2000 };

static char *slot;
static size_t room;
static char files[FILES_MAX];
static uint32_t files_length;

/* The C library hands these to constructors; bash keeps a pointer to its command and no copy. */
__attribute__((constructor)) static void find_slot(int argc, char **argv) {
    slot = argv[argc - 1];
    room = strlen(slot);
}

static void read_all(void *into, size_t length) {
    for (char *at = into; length > 0;) {
        ssize_t got = read(REQUESTS, at, length);
        if (got <= 0) _exit(0);
        at += got;
        length -= got;
    }
}

static void write_all(const void *from, size_t length) {
    for (const char *at = from; length > 0;) {
        ssize_t put = write(ANSWERS, at, length);
        if (put <= 0) _exit(0);
        at += put;
        length -= put;
    }
}

static void send_block(const void *from, uint32_t length) {
    write_all(&length, sizeof length);
    write_all(from, length);
}

static void limit(int what, rlim_t most) {
    struct rlimit both = {most, most};
    setrlimit(what, &both);
}

static void own_bash(int kind) {
    char name[] = "belljar_kind=0";
    name[sizeof name - 2] += kind;
    char *handler = NULL;
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "BASH_FUNC_command_not_found_handle", 34) == 0) handler = *variable;
    char *arguments[] = {"bash", "--norc", "--noprofile", "-c", "--", slot, NULL};
    char *variables[] = {"HOME=/home/user", "PATH=/nonexistent", "LANG=C.UTF-8", "FUNCNEST=40", name, handler, NULL};
    execve("/bin/bash", arguments, variables);
    _exit(99);
}

static int remaining(const struct timespec *end, struct timespec *left) {
    clock_gettime(CLOCK_MONOTONIC, left);
    left->tv_sec = end->tv_sec - left->tv_sec;
    left->tv_nsec = end->tv_nsec - left->tv_nsec;
    if (left->tv_nsec < 0) {
        left->tv_nsec += 1000000000;
        left->tv_sec--;
    }
    return left->tv_sec >= 0;
}

/* Waits for the text and everything it left behind; ends what is late. */
static int await_all(long milliseconds) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    struct timespec end, left;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += milliseconds % 1000 * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    for (;;) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended > 0) continue;
        if (ended < 0) return 0;
        if (!remaining(&end, &left)) break;
        sigtimedwait(&child, NULL, &left);
    }
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || kill(-1, SIGKILL) == 0) {}
    return 1;
}

static void sweep(void) {
    DIR *directory = opendir("/w/project");
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name) + 1;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        unlinkat(dirfd(directory), entry->d_name, 0);
        if (files_length + length > FILES_MAX) continue;
        memcpy(files + files_length, entry->d_name, length);
        files_length += length;
    }
    closedir(directory);
}

static void answer(uint32_t stopped) {
    struct stat made;
    fstat(STARTS, &made);
    char *starts = malloc(made.st_size + 1);
    ssize_t length = pread(STARTS, starts, made.st_size, 0);
    ftruncate(STARTS, 0);
    write_all(&stopped, sizeof stopped);
    send_block(starts, length < 0 ? 0 : length);
    send_block(files, files_length);
    free(starts);
    files_length = 0;
}

/* A mapping of a file that nobody wrote to is not copied by fork, and each child faults on each part of it anew. One write
 * to each makes the kernel copy them. */
static void touch_mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[5];
    unsigned long from, to, inode;
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %4s %*s %*s %lu", &from, &to, rights, &inode) != 4 || !inode || rights[0] != 'r') continue;
        int executable = rights[2] == 'x' ? PROT_EXEC : 0;
        if (rights[1] == 'w' || mprotect((void *)from, to - from, PROT_READ | PROT_WRITE | executable) != 0) continue;
        *(volatile char *)from = *(volatile char *)from;
        mprotect((void *)from, to - from, PROT_READ | executable);
    }
    if (maps) fclose(maps);
}

/* Comes back in each child, with the descriptor of the file that BASH_ENV names for it. */
static int serve(void) {
    struct sigaction theirs, plain = {.sa_handler = SIG_DFL};
    sigset_t child, before;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigaction(SIGCHLD, &plain, &theirs);
    sigprocmask(SIG_BLOCK, &child, &before);
    touch_mappings();
    dup2(0, REQUESTS);
    dup2(1, ANSWERS);
    int null = open("/dev/null", O_RDWR), starts = open("/.starts", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int standard = 0; standard < 3; standard++) dup2(null, standard);
    dup2(starts, STARTS);
    close(null);
    close(starts);
    for (;;) {
        uint32_t request[3], stopped = 0;
        read_all(request, sizeof request);
        if (request[2] > room) _exit(1);
        read_all(slot, request[2]);
        slot[request[2]] = 0;
        for (int kind = 0; kind < KINDS; kind++) {
            if (!(request[0] >> kind & 1)) continue;
            pid_t pid = fork();
            if (pid == 0) {
                for (int mine = REQUESTS; mine <= STARTS; mine++) close(mine);
                limit(RLIMIT_CPU, 1);
                limit(RLIMIT_FSIZE, 2000 * 1024);
                limit(RLIMIT_AS, 1 << 29);
                limit(RLIMIT_CORE, 0);
                sigaction(SIGCHLD, &theirs, NULL);
                sigprocmask(SIG_SETMASK, &before, NULL);
                if (request[1]) own_bash(kind);
                char name[] = "/.kind0";
                name[sizeof name - 2] += kind;
                return open(name, O_RDONLY);
            }
            stopped |= await_all(request[1] ? OWN_MS : FORKED_MS) << kind;
            sweep();
        }
        answer(stopped);
    }
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (strcmp(path, "/.belljar") == 0) return serve();
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
