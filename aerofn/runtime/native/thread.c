/* Threads that know nothing of Python. */

#define _POSIX_C_SOURCE 200809L
#include "sandbox.h"

#include <signal.h>

/* Signals are the main thread's, but for those that a trap in a guest raises. */
static void block_signals(sigset_t *before)
{
    static const int of_traps[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof of_traps / sizeof *of_traps; i++)
        sigdelset(&blocked, of_traps[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

/* Start a thread; false if the system gives none. */
bool start_thread(pthread_t *thread, void *(*body)(void *), void *given)
{
    sigset_t before; /* a thread has the mask of who starts it, from its first moment on */
    block_signals(&before);
    bool started = !pthread_create(thread, NULL, body, given);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}
