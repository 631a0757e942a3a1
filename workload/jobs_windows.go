package workload

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Limits of what Windows is asked.
const (
	maxHandles    = 256 << 20 // bytes of the list of all handles
	maxObjectInfo = 64 << 10  // bytes of a name or a type
)

// Classes of NtQueryObject.
const (
	objectName = 1
	objectType = 2
)

var (
	ntQueryObject  = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtQueryObject")
	isProcessInJob = windows.NewLazySystemDLL("kernel32.dll").NewProc("IsProcessInJob")
)

// windowsJobs asks the Windows that we run on.
type windowsJobs struct{}

var _ jobTable = windowsJobs{}

func (windowsJobs) processes() (map[uint32]string, error) {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil, fmt.Errorf("list of processes: %w", err)
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	all := map[uint32]string{}
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		all[entry.ProcessID] = windows.UTF16ToString(entry.ExeFile[:])
	}
	if !errors.Is(err, windows.ERROR_NO_MORE_FILES) {
		return nil, fmt.Errorf("list of processes: %w", err)
	}
	return all, nil
}

// handleEntry is SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX.
type handleEntry struct {
	object        uintptr
	owner         uintptr
	value         uintptr
	access        uint32
	backTrace     uint16
	objectType    uint16
	attributes    uint32
	reservedField uint32
}

func (windowsJobs) handles() ([]systemHandle, error) {
	for size := uint32(1 << 20); size <= maxHandles; size *= 2 {
		buffer := make([]uintptr, size/uint32(unsafe.Sizeof(uintptr(0))))
		err := windows.NtQuerySystemInformation(windows.SystemExtendedHandleInformation, unsafe.Pointer(&buffer[0]), size, nil)
		if errors.Is(err, windows.STATUS_INFO_LENGTH_MISMATCH) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list of handles: %w", err)
		}
		const header = 2 // their number, and a reserved word
		room := (uintptr(size) - header*unsafe.Sizeof(uintptr(0))) / unsafe.Sizeof(handleEntry{})
		entries := unsafe.Slice((*handleEntry)(unsafe.Pointer(&buffer[header])), min(buffer[0], room))
		all := make([]systemHandle, len(entries))
		for i, e := range entries {
			all[i] = systemHandle{owner: uint32(e.owner), value: e.value}
		}
		return all, nil
	}
	return nil, fmt.Errorf("list of handles: more than %d bytes", maxHandles)
}

func (windowsJobs) open(h systemHandle) (jobHandle, error) {
	owner, err := windows.OpenProcess(windows.PROCESS_DUP_HANDLE, false, h.owner)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", h.owner, skipped(err))
	}
	defer func() { _ = windows.CloseHandle(owner) }()
	var own windows.Handle
	if err := windows.DuplicateHandle(owner, windows.Handle(h.value), windows.CurrentProcess(), &own, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return nil, fmt.Errorf("handle %#x of process %d: %w", h.value, h.owner, skipped(err))
	}
	return windowsHandle(own), nil
}

// skipped marks the errors of handles that give no answer. One that was closed meanwhile gives none either.
func skipped(err error) error {
	for _, denied := range []error{windows.ERROR_ACCESS_DENIED, windows.ERROR_NOT_SUPPORTED, windows.ERROR_INVALID_HANDLE, windows.STATUS_ACCESS_DENIED, windows.STATUS_NOT_SUPPORTED} {
		if errors.Is(err, denied) {
			return fmt.Errorf("%w: %w", errSkipHandle, err)
		}
	}
	return err
}

type windowsHandle windows.Handle

func (h windowsHandle) close() { _ = windows.CloseHandle(windows.Handle(h)) }

func (h windowsHandle) kind() (string, error) { return h.query(objectType) }

func (h windowsHandle) name() (string, error) { return h.query(objectName) }

// query asks for what begins with a text, in both classes.
func (h windowsHandle) query(class uintptr) (string, error) {
	buffer := make([]uintptr, maxObjectInfo/unsafe.Sizeof(uintptr(0)))
	status, _, _ := ntQueryObject.Call(uintptr(h), class, uintptr(unsafe.Pointer(&buffer[0])), maxObjectInfo, 0)
	if status != 0 {
		return "", fmt.Errorf("object of a handle: %w", skipped(windows.NTStatus(uint32(status))))
	}
	return (*windows.NTUnicodeString)(unsafe.Pointer(&buffer[0])).String(), nil
}

func (h windowsHandle) contains(pid int32) (bool, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return false, fmt.Errorf("process %d: %w", pid, err)
	}
	defer func() { _ = windows.CloseHandle(process) }()
	var inside int32
	done, _, err := isProcessInJob.Call(uintptr(process), uintptr(h), uintptr(unsafe.Pointer(&inside)))
	if done == 0 {
		return false, fmt.Errorf("process %d in a job: %w", pid, skipped(err))
	}
	return inside != 0, nil
}
