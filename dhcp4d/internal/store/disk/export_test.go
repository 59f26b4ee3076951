package disk

// Names of files, for the tests of all stores on disk.
const (
	LabelName     = labelName
	LockName      = lockName
	WatermarkName = watermarkName
	ClockName     = clockName
)
