/* Threads that share work and never wait long for one that the system does not run.
 *
 * Work consists of phases, each of `tasks` tasks; a phase begins when the one before has ended. Any
 * thread takes the next task, so a thread that is late costs nothing: the others do its tasks. A
 * task has its own memory for sums, so results do not depend on which thread does which task.
 *
 * A waiting thread spins for a short while, then sleeps, so that on a busy machine the processor is
 * free for the thread that it waits for. How long it spins adapts to how long waiting takes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#define MAX_WORKERS 63
#define NO_TASK 0xffff /* as the next task: the run has ended */
#define MIN_SPIN_NS 1000
#define MAX_SPIN_NS 200000

typedef void (*Task)(void *work, int phase, int task);

static struct {
    pthread_mutex_t run;   /* held by the thread whose work it is */
    pthread_mutex_t sleep; /* for `wake` */
    pthread_cond_t wake;
    int workers; /* threads that were started */
    /* Run, phase and next task in one number, so that no task of an earlier phase can be taken. */
    _Atomic uint64_t ticket;
    _Atomic uint32_t news; /* counts phases, for those who sleep */
    _Atomic int sleeping, finished;
    _Atomic int phases, tasks; /* may be read by a thread that holds the ticket of an earlier run */
    Task task;
    void *work;
} pool = {.ticket = NO_TASK,
          .run = PTHREAD_MUTEX_INITIALIZER,
          .sleep = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER};

#define PHASE(ticket) ((int)((ticket) >> 16 & 0xffff))
#define NEXT(ticket) ((int)((ticket) & 0xffff))
#define RUN(ticket) ((ticket) >> 32)

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void pause_processor(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait until the ticket is another one. */
static void wait_for_news(uint64_t ticket, int64_t *spin_ns) {
    const uint32_t news = atomic_load(&pool.news);
    const int64_t start = nanoseconds();
    do
        for (int i = 0; i < 8; i++) {
            if (atomic_load_explicit(&pool.ticket, memory_order_acquire) != ticket) {
                *spin_ns = *spin_ns * 2 < MAX_SPIN_NS ? *spin_ns * 2 : MAX_SPIN_NS;
                return;
            }
            pause_processor();
        }
    while (nanoseconds() - start < *spin_ns);
    *spin_ns = *spin_ns / 2 > MIN_SPIN_NS ? *spin_ns / 2 : MIN_SPIN_NS;
    pthread_mutex_lock(&pool.sleep);
    atomic_fetch_add(&pool.sleeping, 1);
    while (atomic_load(&pool.ticket) == ticket && atomic_load(&pool.news) == news)
        pthread_cond_wait(&pool.wake, &pool.sleep);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.sleep);
}

static void publish(uint64_t ticket) {
    atomic_store(&pool.ticket, ticket);
    atomic_fetch_add(&pool.news, 1);
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.sleep);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.sleep);
    }
}

/* Take a task and do it, if there is one; the last one to finish a phase begins the next. */
static int try_task(uint64_t ticket) {
    const int phase = PHASE(ticket);
    if (NEXT(ticket) == NO_TASK || NEXT(ticket) >= pool.tasks) return 0;
    if (!atomic_compare_exchange_strong(&pool.ticket, &ticket, ticket + 1)) return 1;
    pool.task(pool.work, phase, NEXT(ticket));
    if (atomic_fetch_add(&pool.finished, 1) == pool.tasks - 1) {
        atomic_store(&pool.finished, 0);
        publish(RUN(ticket) << 32 | (uint64_t)(phase + 1) << 16 |
                (phase + 1 == pool.phases ? NO_TASK : 0));
    }
    return 1;
}

static void *work_forever(void *unused) {
    int64_t spin_ns = MAX_SPIN_NS;
    for (;;) {
        const uint64_t ticket = atomic_load(&pool.ticket);
        if (!try_task(ticket)) wait_for_news(ticket, &spin_ns);
    }
    return unused;
}

/* Start threads until there are as many as wanted besides the caller; return how many threads
 * there are with the caller. */
static int start_workers(int threads) {
    sigset_t all, before;
    sigfillset(&all); /* signals are for the threads that Python knows */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < threads - 1 && pool.workers < MAX_WORKERS) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work_forever, NULL)) break;
        pthread_detach(thread);
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.workers + 1;
}

/* Do work of several phases with as many tasks each, together with the workers. */
static void run_phases(Task task, void *work, int phases, int tasks, int threads) {
    static _Thread_local int64_t spin_ns = MAX_SPIN_NS;
    if (threads == 1 || tasks == 1 || pthread_mutex_trylock(&pool.run)) {
        /* Alone, or another thread uses the workers at the moment. */
        for (int phase = 0; phase < phases; phase++)
            for (int i = 0; i < tasks; i++) task(work, phase, i);
        return;
    }
    if (pool.workers < threads - 1) start_workers(threads);
    const uint64_t run = RUN(atomic_load(&pool.ticket)) + 1;
    pool.task = task, pool.work = work, pool.phases = phases, pool.tasks = tasks;
    publish(run << 32);
    for (;;) {
        const uint64_t ticket = atomic_load(&pool.ticket);
        if (NEXT(ticket) == NO_TASK) break;
        if (!try_task(ticket)) wait_for_news(ticket, &spin_ns);
    }
    pthread_mutex_unlock(&pool.run);
}

/* The number of threads that there are if `threads` are requested. */
int netlet_thread_count(int threads) {
    pthread_mutex_lock(&pool.run);
    const int started = start_workers(threads);
    pthread_mutex_unlock(&pool.run);
    return started < threads ? started : threads;
}
