from clients import main

main("python")
