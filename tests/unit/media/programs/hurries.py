from services.media.inspecting import program

program.CPU_S = 3
program.main()
