from clients import main

main("node")
