package netns

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The commands of ethtool that set an offload (linux/ethtool.h).
var offloads = []uint32{
	0x17, // ETHTOOL_STXCSUM
	0x1f, // ETHTOOL_STSO
	0x24, // ETHTOOL_SGSO
	0x2c, // ETHTOOL_SGRO
}

// noOffload switches off the offloads of an interface of this namespace.
func noOffload(name string) error {
	for _, command := range offloads {
		if _, err := ethtool(name, command); err != nil {
			return fmt.Errorf("switching off an offload of %s: %w", name, err)
		}
	}
	return nil
}

// ethtool runs a command that takes or returns one value. It passes 0.
func ethtool(name string, command uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("opening a control socket: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("naming interface %s: %w", name, err)
	}
	value := struct{ command, data uint32 }{command: command}
	err = ioctlPointer(fd, unix.SIOCETHTOOL, request, unsafe.Pointer(&value))
	return value.data, err
}

// ioctlPointer is an ioctl whose ifreq holds a pointer. x/sys does not export its version.
func ioctlPointer(fd int, request uint, ifr *unix.Ifreq, p unsafe.Pointer) error {
	raw := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}{data: p}
	copy(raw.name[:], ifr.Name())
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&raw)))
	if errno != 0 {
		return errno
	}
	return nil
}
