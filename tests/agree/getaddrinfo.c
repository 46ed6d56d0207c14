/* What an application gets: getaddrinfo in a machine of its own, printed as one line.
 *
 * getaddrinfo ETC HOSTNAME SECONDS HOST
 *
 * ETC is mounted over /etc and HOSTNAME set as the host name, both for this process alone, which ends
 * after SECONDS. It prints milliseconds of waiting,
 * milliseconds for which the kernel kept the process from a processor, and `found ADDRESS...` or `failed EAI_NAME`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static double starved(void)
{
    unsigned long long running = 0, waiting = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    if (file) {
        if (fscanf(file, "%llu %llu", &running, &waiting) != 2)
            waiting = 0;
        fclose(file);
    }
    return waiting / 1e6;
}

static const char *name_of(int code)
{
    switch (code) {
    case EAI_NONAME: return "EAI_NONAME";
    case EAI_NODATA: return "EAI_NODATA";
    case EAI_AGAIN: return "EAI_AGAIN";
    case EAI_FAIL: return "EAI_FAIL";
    default: return "EAI_SYSTEM";
    }
}

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(2);
    }
}

int main(int count, char **words)
{
    if (count != 5)
        return 2;
    alarm(atoi(words[3]));
    must(unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare");
    must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    must(mount(words[1], "/etc", NULL, MS_BIND, NULL), "mount over /etc");
    must(sethostname(words[2], strlen(words[2])), "sethostname");

    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    double starved_before = starved(), start = now();
    int code = getaddrinfo(words[4], NULL, &hints, &found);
    double took = now() - start;
    printf("%.3f %.3f ", took, starved() - starved_before);
    if (code) {
        printf("failed %s\n", name_of(code));
        return 0;
    }
    printf("found");
    for (; found; found = found->ai_next) {
        char text[INET6_ADDRSTRLEN] = "";
        const void *address = found->ai_family == AF_INET
            ? (const void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
            : (const void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
        inet_ntop(found->ai_family, address, text, sizeof text);
        printf(" %s", text);
    }
    printf("\n");
    return 0;
}
