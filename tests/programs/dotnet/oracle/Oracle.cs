// SPDX-License-Identifier: Apache-2.0

// Stacks of another .NET process, as ClrMD has them.
//
// usage: oracle PID
//
// For each line of input: stops the process, prints a line for each of its managed threads, lets it go on and
// prints an empty line. A thread's line: its id, and its frames from the leaf on, separated by tabs. A frame: the
// instruction pointer, the stack pointer and the method's signature, or in brackets the name of a frame that the
// runtime put on the stack.
using System.Text;
using Microsoft.Diagnostics.Runtime;

int pid = int.Parse(args[0]);
while (Console.ReadLine() != null)
{
    var text = new StringBuilder();
    using (DataTarget target = DataTarget.AttachToProcess(pid, suspend: true))
    using (ClrRuntime runtime = target.ClrVersions[0].CreateRuntime())
    {
        foreach (ClrThread thread in runtime.Threads)
        {
            if (!thread.IsAlive)
            {
                continue;
            }
            text.Append(thread.OSThreadId);
            foreach (ClrStackFrame frame in thread.EnumerateStackTrace())
            {
                string name = frame.Kind == ClrStackFrameKind.ManagedMethod ? frame.Method?.Signature ?? "?" : $"[{frame.FrameName}]";
                text.Append($"\t{frame.InstructionPointer:x},{frame.StackPointer:x},{name}");
            }
            text.Append('\n');
        }
    }
    Console.WriteLine(text.ToString());
}
