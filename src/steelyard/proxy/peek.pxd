"""C types for peek.py."""

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/socket.h>
    static inline int steelyard_nothing_to_read(int fd) {
        char byte;
        ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
    """
    bint nothing_to_read "steelyard_nothing_to_read"(int fd) noexcept

cpdef bint quiet(object sock, int fd) except -1
